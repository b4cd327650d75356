"""The arithmetic of the benchmark, on runs whose times are known."""

from __future__ import annotations

import pytest

from benchmarks.comparison import (
    ALL,
    Comparison,
    PromptResult,
    Runs,
    Setting,
    measure_prompt,
    speedup_interval,
    summarize,
)
from benchmarks.rig import ADAPTIVE, PLAIN, Answer, Way
from utils.performance_monitor import PerformanceMonitor, RoundStats

SHORT, LONG = Way("lookup", 2), Way("model", 7)
SETTING = Setting(ways=(SHORT, ADAPTIVE), temperature=0.0, repeats=3)


def answer(seconds: float, *, tokens: int = 4, drafted: int = 0, text: str = "same") -> Answer:
    """An answer written in one round, `seconds` long."""
    monitor = PerformanceMonitor()
    monitor.add(RoundStats("lookup", drafted, tokens - 1, tokens, 0.0, seconds, seconds, 0))
    return Answer(tuple(text.encode()), text, monitor.result(), seconds)


class Script:
    """Answers every question with given times, and remembers in which way."""

    def __init__(self, plain_s: float, drafted_s: float) -> None:
        self.times = {PLAIN: plain_s, SHORT: drafted_s, ADAPTIVE: drafted_s}
        self.asked: list[str] = []

    def __call__(self, way):
        self.asked.append(way.name)
        return answer(self.times[way], drafted=0 if way == PLAIN else 4)


def result_of(speedups: dict[Way, float], category: str = "x") -> PromptResult:
    runs = {way: Runs([1 / value], 4, 3, 8, 2, {(1,)}) for way, value in speedups.items()}
    return PromptResult(category, {PLAIN: Runs([1.0], 0, 0, 8, 8, {(1,)}), **runs})


def comparison_of(**categories: dict[Way, float]) -> Comparison:
    ways = tuple(next(iter(categories.values())))
    results = [result_of(speedups, name) for name, speedups in categories.items()]
    return Comparison(Setting(ways=ways, temperature=0.0), results)


def test_runs_are_interleaved_so_that_drift_hits_all_sides():
    script = Script(1.0, 0.5)
    measure_prompt("x", script, SETTING)
    there = ["plain", "lookup 2", "adaptive"]
    assert script.asked == [*there, *reversed(there)] * 3


def test_half_the_time_per_token_is_a_speedup_of_two():
    assert measure_prompt("x", Script(1.0, 0.5), SETTING).speedup(SHORT) == pytest.approx(2)


def test_one_disturbed_run_of_many_does_not_move_a_prompt():
    result = measure_prompt("x", Script(1.0, 0.5), SETTING)
    result.runs[PLAIN].seconds[0] *= 50
    result.runs[SHORT].seconds[-1] *= 50
    assert result.speedup(SHORT) == pytest.approx(2)


def test_answers_that_differ_are_told():
    def ask(way):
        return answer(1.0, text="other" if way == SHORT else "same")

    result = measure_prompt("x", ask, SETTING)
    assert not result.is_same_text(SHORT)
    assert result.is_same_text(ADAPTIVE)


def test_a_category_is_the_median_of_its_prompts():
    results = [result_of({SHORT: speedup}) for speedup in (1.0, 1.5, 9.0)]
    category = summarize("x", results, SHORT)
    assert category.speedup == pytest.approx(1.5)
    assert category.low == pytest.approx(1.0)
    assert category.high == pytest.approx(9.0)
    assert (category.acceptance, category.tokens_per_forward) == (0.75, 4)


def test_the_worst_category_comes_first_and_in_tables_all_prompts_last():
    comparison = comparison_of(good={SHORT: 2.0}, bad={SHORT: 1.0}, middling={SHORT: 1.5})
    names = [category.name for category in comparison.categories(SHORT)]
    assert names == ["bad", "middling", "good"]
    assert [row.name for row in comparison.rows(SHORT)] == [*names, ALL]


def test_the_mean_is_that_of_the_categories_alone():
    comparison = comparison_of(good={SHORT: 2.0}, bad={SHORT: 1.0})
    comparison.results += [result_of({SHORT: 1.0}, "bad") for _ in range(8)]
    assert comparison.mean(SHORT) == pytest.approx(1.5)
    assert comparison.total(SHORT).speedup == pytest.approx(1.0)


def test_adaptive_is_compared_with_the_length_that_is_best_on_average():
    comparison = comparison_of(
        chat={ADAPTIVE: 1.8, SHORT: 1.0, LONG: 1.6},
        copying={ADAPTIVE: 2.2, SHORT: 3.2, LONG: 2.4},
    )
    assert comparison.best_fixed == SHORT
    assert comparison.mean(SHORT) == pytest.approx(2.1)
    assert comparison.adaptive_vs_best_fixed == pytest.approx(2.0 / 2.1)
    assert comparison.rivals == [SHORT, LONG]


def test_the_best_fixed_length_is_told_with_all_that_were_measured():
    ways = dict.fromkeys((Way("model", 3), LONG, SHORT), 1.0)
    comparison = comparison_of(chat={ADAPTIVE: 1.8, **ways, LONG: 2.0})
    assert comparison.best_of == "model 7 (best of model 3, 7; lookup 2)"
    assert comparison_of(chat={ADAPTIVE: 1.8}).best_of == ""


def test_nothing_is_compared_where_one_side_was_not_measured():
    assert comparison_of(chat={ADAPTIVE: 1.8}).adaptive_vs_best_fixed is None
    assert comparison_of(chat={SHORT: 1.8}).adaptive_vs_best_fixed is None
    assert comparison_of(chat={SHORT: 1.8}).rivals == []
    empty = Comparison(SETTING, [])
    assert empty.adaptive_vs_best_fixed is None
    assert (empty.categories(SHORT), empty.total(SHORT), empty.rivals) == ([], None, [])


def test_the_interval_narrows_with_more_prompts():
    prompts = [result_of({SHORT: speedup}) for speedup in (1.0, 2.0, 3.0)]
    few = speedup_interval(prompts, SHORT)
    many = speedup_interval(prompts * 40, SHORT)
    assert many[1] - many[0] < few[1] - few[0]


def test_runs_that_differ_widen_the_interval_of_a_single_prompt():
    steady, shaky = result_of({SHORT: 2.0}), result_of({SHORT: 2.0})
    steady.runs[SHORT].seconds = [0.5] * 4
    shaky.runs[SHORT].seconds = [0.3, 0.4, 0.6, 0.7]
    assert speedup_interval([steady], SHORT) == (2.0, 2.0)
    low, high = speedup_interval([shaky], SHORT)
    assert low < 2.0 < high


def test_a_fixed_length_never_pauses_unless_told_to():
    assert SHORT.speculative.acceptance_threshold == 0
    assert Way("model", 5, threshold=0.7).speculative.acceptance_threshold == 0.7
    assert not SHORT.speculative.fallback_enabled


def test_all_ways_draw_with_the_same_seed():
    assert SETTING.sampling.seed is not None
