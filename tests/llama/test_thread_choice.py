from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from config import ModelOptions
from tests.tiny_gguf import write_tiny_gguf
from utils.llama.library import native
from utils.llama.model import LlamaModel
from utils.llama.thread_choice import ThreadChoice

Machine = Callable[[int, int], float]


def quiet(threads: int, width: int) -> float:
    return 0.001 * (0.4 + 0.6 * width) * (0.3 + 0.7 / threads)


def busy(threads: int, width: int) -> float:
    """Another program has a core: all threads wait for the one that shares it."""
    return quiet(threads, width) * (8 if threads > 1 else 1)


def decode(choice: ThreadChoice, machine: Machine, passes: int) -> tuple[list[int], float]:
    """Return the threads of each pass, of several widths in turn, and all seconds."""
    used, total_s = [], 0.0
    for count in range(passes):
        width = (1, 4, 1, 6)[count % 4]
        seconds = machine(choice.threads, width)
        used.append(choice.threads)
        total_s += seconds
        choice.note(width, seconds)
    return used, total_s


def test_all_threads_are_kept_where_they_are_fastest_and_trials_cost_little() -> None:
    used, total_s = decode(ThreadChoice(2), quiet, 4000)
    best_s = sum(quiet(2, (1, 4, 1, 6)[count % 4]) for count in range(4000))
    assert 0 < used.count(1) < 50
    assert total_s < 1.01 * best_s


def test_one_thread_is_taken_soon_after_another_program_wants_the_processor() -> None:
    choice = ThreadChoice(2)
    decode(choice, quiet, 500)
    used, _ = decode(choice, busy, 200)
    assert used[100:].count(1) > 90


def test_all_threads_are_taken_again_when_the_processor_is_free() -> None:
    choice = ThreadChoice(2)
    decode(choice, busy, 500)
    used, _ = decode(choice, quiet, 800)
    assert used[600:].count(2) > 190


def test_one_slow_pass_changes_nothing() -> None:
    choice = ThreadChoice(2)
    decode(choice, quiet, 100)
    choice.note(1, 0.5)
    used, _ = decode(choice, quiet, 200)
    assert used.count(2) > 190


def test_with_many_cores_the_one_that_others_want_is_left_to_them() -> None:
    def one_core_is_taken(threads: int, width: int) -> float:
        return quiet(threads, width) * (5 if threads == 8 else 1)

    used, _ = decode(ThreadChoice(8), one_core_is_taken, 600)
    assert used[300:].count(7) > 280


def test_a_choice_that_was_made_elsewhere_is_the_first() -> None:
    choice = ThreadChoice(2)
    choice.take(1)
    assert decode(choice, busy, 10)[0] == [1] * 10


def test_with_one_thread_there_is_nothing_to_try() -> None:
    assert decode(ThreadChoice(1), busy, 1000)[0] == [1] * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.llama.model.physical_cores", lambda: 2)


def test_short_passes_are_made_with_the_threads_that_were_chosen(path: Path) -> None:
    with LlamaModel.open(path, ModelOptions()) as model:
        session = model.session
        assert session.thread_choice is not None
        seen = []
        for threads in (1, 2, 1):
            session.thread_choice.take(threads)
            session.decode([1, 2], rows=1)
            context = session._context
            seen.append((native.llama_n_threads(context), native.llama_n_threads_batch(context)))
        assert seen == [(1, 1), (2, 2), (1, 1)]


def test_no_other_number_of_threads_is_tried_where_passes_are_to_be_compared(path: Path) -> None:
    with LlamaModel.open(path, ModelOptions()) as model:
        session = model.session
        choice = session.thread_choice
        assert choice is not None
        choice.take(1)
        with session.same_threads():
            for _ in range(40):
                session.decode([1], rows=1)
                assert native.llama_n_threads(session._context) == 1
        assert session.thread_choice is choice


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_the_number_of_threads_changes_no_bit_of_the_logits(path: Path, width: int) -> None:
    with LlamaModel.open(path, ModelOptions()) as model:
        session, rows = model.session, []
        assert session.thread_choice is not None
        for threads in (1, 2):
            session.thread_choice.take(threads)
            session.clear()
            session.decode([1, 2, 3], rows=0)
            rows.append(session.decode([4] * width, rows=width).copy())
        assert np.array_equal(*rows)


class Turning(ThreadChoice):
    """Another number of threads for every pass."""

    count = 0

    @property
    def threads(self) -> int:
        self.count += 1
        return 1 + self.count % 4


@pytest.mark.parametrize("quantization", ["F16", "Q8_0", "Q4_0"])
@pytest.mark.parametrize("equal_width", [0, 8])
def test_threads_that_change_amid_a_text_change_no_bit_of_it(
    tmp_path: Path, quantization: str, equal_width: int
) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", quantization=quantization, width=128)

    def write(choice: ThreadChoice | None) -> list[np.ndarray]:
        with LlamaModel.open(path, ModelOptions(context_tokens=512)) as model:
            session, rows = model.session, []
            session.thread_choice = choice
            for start in range(5, 305):
                width = 1 + start % 5
                logits = session.decode([start] * width, rows=width, width=equal_width)
                rows.append(logits.copy())
                session.rollback(start - 4)
            return rows

    turning = Turning(4)
    pairs = zip(write(turning), write(None), strict=True)
    assert all(np.array_equal(changed, steady) for changed, steady in pairs)
    assert turning.count > 300


@pytest.mark.parametrize(
    "options",
    [
        ModelOptions(threads=2),
        ModelOptions(batch_threads=2),
        # There the number of threads is part of what is computed.
        ModelOptions(flash_attention="on"),
    ],
)
def test_what_was_set_or_would_change_the_text_is_not_tried_out(
    path: Path, options: ModelOptions
) -> None:
    with LlamaModel.open(path, options) as model:
        assert model.session.thread_choice is None
