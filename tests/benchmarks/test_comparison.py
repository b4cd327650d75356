"""The arithmetic of the benchmark, on runs whose times are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.comparison import (
    PromptResult,
    Setting,
    bootstrap_interval,
    measure_prompt,
    summarize,
)
from benchmarks.rig import Answer
from config import SpeculativeConfig
from utils.performance_monitor import PerformanceMonitor, RoundStats

SETTING = Setting(drafter="lookup", draft_length=4, temperature=0.0, repeats=3)


def answer(seconds: float, *, tokens: int = 4, drafted: int = 0, text: str = "same") -> Answer:
    """An answer written in one round, `seconds` long."""
    monitor = PerformanceMonitor()
    monitor.add(RoundStats("lookup", drafted, tokens - 1, tokens, 0.0, seconds, seconds, 0))
    return Answer(tuple(text.encode()), text, monitor.result(), seconds)


class Script:
    """Answers every question with given times, and remembers who was asked."""

    def __init__(self, plain_s: float, speculative_s: float) -> None:
        self.times = {"none": plain_s, "lookup": speculative_s}
        self.asked: list[str] = []

    def __call__(self, drafter):
        self.asked.append(drafter)
        return answer(self.times[drafter], drafted=0 if drafter == "none" else 4)


def result_of(speedup: float) -> PromptResult:
    return PromptResult("x", [speedup], [1.0], drafted=4, accepted=3, tokens=8, rounds=2)


def test_runs_are_interleaved_so_that_drift_hits_both_sides():
    script = Script(1.0, 0.5)
    measure_prompt("x", script, SETTING)
    assert script.asked == ["none", "lookup", "lookup", "none"] * 3


def test_half_the_time_per_token_is_a_speedup_of_two():
    assert measure_prompt("x", Script(1.0, 0.5), SETTING).speedup == pytest.approx(2)


def test_one_disturbed_run_of_many_does_not_move_a_prompt():
    script = Script(1.0, 0.5)
    result = measure_prompt("x", script, SETTING)
    result.plain_s[0] *= 50
    result.speculative_s[-1] *= 50
    assert result.speedup == pytest.approx(2)


def test_answers_that_differ_are_told():
    def ask(drafter):
        return answer(1.0, drafted=0, text="same" if drafter == "none" else "other")

    assert not measure_prompt("x", ask, SETTING).same_text
    assert measure_prompt("x", Script(1.0, 1.0), SETTING).same_text


def test_a_category_is_the_median_of_its_prompts():
    category = summarize("x", [result_of(speedup) for speedup in (1.0, 1.5, 9.0)])
    assert category.speedup == 1.5
    assert category.low == 1.0
    assert category.high == 9.0
    assert (category.acceptance, category.tokens_per_forward) == (0.75, 4)


def test_the_interval_narrows_with_more_prompts():
    few = bootstrap_interval([1.0, 2.0, 3.0])
    many = bootstrap_interval([1.0, 2.0, 3.0] * 40)
    assert many[1] - many[0] < few[1] - few[0]


def test_drafting_is_that_of_the_app_unless_told_otherwise():
    assert SETTING.speculative.acceptance_threshold == SpeculativeConfig().acceptance_threshold
    assert replace(SETTING, threshold=0.0).speculative.acceptance_threshold == 0


def test_both_sides_draw_with_the_same_seed():
    assert SETTING.sampling.seed is not None
