from __future__ import annotations

import pytest

from config import ModelOptions
from tests.tiny_gguf import write_tiny_gguf
from utils.engine import calibration
from utils.engine.calibration import calibrate, keep, recall
from utils.llama.model import LlamaModel
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
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    with LlamaModel.open(path, ModelOptions(context_tokens=256)) as model:
        costs = await calibrate(
            model.session,
            model.vocabulary,
            [1, 2, 3],
            clock=PlainClock(),
            max_rows=4,
            should_stop=lambda: False,
            kept=tmp_path / "costs",
            is_quiet=lambda: is_quiet,
        )
    assert costs is not None
    assert (recall(tmp_path / "costs") == passes) is is_kept
