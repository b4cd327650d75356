from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from config import ModelOptions
from tests.tiny_gguf import write_tiny_gguf
from utils.cost_table import CostTable
from utils.engine import calibration
from utils.engine.calibration import calibrate, keep, recall
from utils.llama.model import LlamaModel
from utils.llama.session import LlamaSession
from utils.performance_monitor import PlainClock


def test_times_are_kept_for_the_next_time(tmp_path):
    passes = {17: {1: 0.01, 8: 0.03}, 1024: {1: 0.02, 8: 0.0195}}
    keep(tmp_path / "costs", passes)
    assert recall(tmp_path / "costs") == passes


@pytest.mark.parametrize(
    "passes",
    [
        {},
        {17: {8: 0.03}},
        {17: {1: 0.0, 8: 0.03}},
        # Measured while the machine was busy: eight tokens for less than one.
        {17: {1: 0.01, 8: 0.006}},
        {17: {1: 0.01, 8: 0.03}, 1024: {1: 0.05, 8: 0.04}},
    ],
)
def test_times_that_cannot_be_are_measured_again(tmp_path, passes):
    keep(tmp_path / "costs", passes)
    assert recall(tmp_path / "costs") is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"17": {"1": 1' + 400 * "0" + "}}", '{"17": [1]}']
)
def test_a_damaged_file_tells_no_times(tmp_path, text):
    (tmp_path / "costs").write_text(text)
    assert recall(tmp_path / "costs") is None


@pytest.mark.parametrize(
    ("best_s", "is_quiet", "is_kept"),
    [(0.008, True, True), (0.001, True, False), (0.008, False, False)],
)
async def test_times_are_kept_only_where_the_machine_was_quiet(
    tmp_path, monkeypatch, best_s, is_quiet, is_kept
):
    passes = {8: {1: best_s, 4: 2 * best_s}}
    monkeypatch.setattr(calibration, "time_passes", lambda *_, **__: passes)

    async def steps(*_: object) -> list[float]:
        return [0.01] * 4

    monkeypatch.setattr(calibration, "_time_steps", steps)
    costs = await calibrated(tmp_path, is_quiet=is_quiet)
    assert costs is not None
    assert (recall(tmp_path / "costs") == passes) is is_kept


async def calibrated(folder: Path, *, is_quiet: bool = True) -> CostTable:
    """Load a tiny model, whose times are kept in a file of the folder."""
    path = write_tiny_gguf(folder / "tiny.gguf")
    with LlamaModel.open(path, ModelOptions(context_tokens=256)) as model:
        costs = await calibrate(
            model.session,
            model.vocabulary,
            [1, 2, 3],
            clock=PlainClock(),
            max_rows=17,
            should_stop=lambda: False,
            kept=folder / "costs",
            is_quiet=lambda: is_quiet,
        )
    assert costs is not None
    return costs


KEPT = {17: {1: 0.01, 4: 0.015, 8: 0.02, 16: 0.04}}
ANEW = {17: {1: 0.01, 8: 0.05}}


@pytest.mark.parametrize(
    ("now", "is_believed"),
    [
        ({1: 0.01, 8: 0.02}, True),
        ({1: 0.009, 8: 0.022}, True),
        ({1: 0.01, 8: 0.05}, False),
        ({1: 0.01, 8: 0.01}, False),
        # All of it took longer: it was measured while the machine was busy.
        ({1: 0.004, 8: 0.008}, False),
        # The machine is busy now.
        ({1: 0.02, 8: 0.1}, True),
        ({1: 0.01}, True),
        ({}, True),
    ],
)
async def test_kept_times_are_believed_where_few_new_ones_agree_or_tell_nothing(
    tmp_path, monkeypatch, now, is_believed
):
    keep(tmp_path / "costs", KEPT)
    monkeypatch.setattr(calibration, "_time_widths", lambda *_, **__: now)
    monkeypatch.setattr(calibration, "time_passes", lambda *_, **__: ANEW)
    monkeypatch.setattr(calibration, "MOST_OF_BEST", 1000)
    costs = await calibrated(tmp_path)
    known = KEPT if is_believed else ANEW
    assert costs.seconds(8) == known[17][8]
    assert recall(tmp_path / "costs") == known


async def test_one_busy_moment_is_no_reason_to_measure_anew(tmp_path, monkeypatch):
    keep(tmp_path / "costs", KEPT)
    looks = iter([{1: 0.01, 8: 0.05}, {1: 0.01, 8: 0.02}])
    monkeypatch.setattr(calibration, "_time_widths", lambda *_, **__: next(looks))
    costs = await calibrated(tmp_path)
    assert costs.seconds(8) == KEPT[17][8]


async def test_times_measured_anew_on_a_busy_machine_do_not_take_the_place_of_kept_ones(
    tmp_path, monkeypatch
):
    keep(tmp_path / "costs", KEPT)
    monkeypatch.setattr(calibration, "_time_widths", lambda *_, **__: {1: 0.01, 8: 0.05})
    monkeypatch.setattr(calibration, "time_passes", lambda *_, **__: ANEW)
    costs = await calibrated(tmp_path, is_quiet=False)
    assert costs.seconds(8) == 0.05
    assert recall(tmp_path / "costs") == KEPT


async def test_a_model_tells_that_kept_times_are_not_its_own(tmp_path):
    keep(tmp_path / "costs", {17: {1: 1.0, 8: 1000.0}})
    costs = await calibrated(tmp_path, is_quiet=False)
    assert costs.seconds(8) / costs.seconds(1) < 100


@pytest.mark.parametrize(("pass_s", "passes"), [(0.02, 4), (2.0, 2)])
async def test_few_passes_tell_whether_kept_times_hold_and_fewest_where_each_takes_long(
    tmp_path, monkeypatch, pass_s, passes
):
    keep(tmp_path / "costs", {17: {1: pass_s, 8: pass_s}})
    clock, timed = [0.0], []

    def time_pass(_session: object, token_ids: list[int], _rows: int) -> float:
        timed.append(len(token_ids))
        clock[0] += pass_s
        return pass_s

    async def steps(session: LlamaSession, *_: object) -> list[float]:
        session.decode([1, 2, 3], rows=1)
        return [pass_s] * 3

    monkeypatch.setattr(calibration, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(calibration, "_time_pass", time_pass)
    monkeypatch.setattr(calibration, "_time_steps", steps)
    await calibrated(tmp_path)
    assert timed == [1, 8, 1, 8][:passes]


def test_passes_after_much_text_never_seem_several_times_as_slow(tmp_path, monkeypatch):
    looks = iter([{1: 1e-4, 8: 2e-4}, {1: 1e-3, 8: 2.2e-4}])
    monkeypatch.setattr(calibration, "_time_widths", lambda *_, **__: next(looks))
    path = write_tiny_gguf(tmp_path / "tiny.gguf", context=1024)
    with LlamaModel.open(path, ModelOptions(context_tokens=1024)) as model:
        passes = calibration.time_passes(
            model.session, [1, 2, 3], max_rows=17, should_stop=lambda: False
        )
    assert passes == {3: {1: 1e-4, 8: 2e-4}, 512: {1: 2e-4, 8: pytest.approx(2.2e-4)}}


async def test_passes_are_timed_with_one_number_of_threads(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.llama.model.physical_cores", lambda: 2)
    choices = []

    def time_passes(session, *_, **__):
        choices.append(session.thread_choice)
        return ANEW

    monkeypatch.setattr(calibration, "time_passes", time_passes)
    await calibrated(tmp_path)
    assert choices == [None]


def test_nothing_is_timed_where_it_is_stopped_before_the_first_pass(tmp_path):
    path = write_tiny_gguf(tmp_path / "tiny.gguf", context=1024)
    with LlamaModel.open(path, ModelOptions(context_tokens=1024)) as model:
        passes = calibration.time_passes(
            model.session, [1, 2, 3], max_rows=17, should_stop=lambda: True
        )
    assert passes == {}


async def test_measuring_can_be_stopped_anywhere(tmp_path):
    path = write_tiny_gguf(tmp_path / "tiny.gguf", context=1024)
    with LlamaModel.open(path, ModelOptions(context_tokens=1024)) as model:

        async def ask_until(stop_at: int) -> tuple[CostTable | None, int]:
            """Measure until the question whether to stop comes so often."""
            asked = itertools.count()
            model.session.should_stop = lambda: next(asked) >= stop_at
            costs = await calibrate(
                model.session,
                model.vocabulary,
                [1, 2, 3] * 10,
                clock=PlainClock(),
                max_rows=17,
                should_stop=model.session.should_stop,
            )
            assert not model.session.cached
            return costs, next(asked)

        whole, most = await ask_until(10**9)
        stops = [*range(40), *range(40, most - 1, most // 40)]
        found = [(await ask_until(stop_at))[0] for stop_at in stops]
    assert whole is not None
    assert found[0] is None
