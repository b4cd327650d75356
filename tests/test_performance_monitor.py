"""Rounds sum to an answer; no number is ever undefined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.performance_monitor import (
    BASELINE_SAMPLES,
    FEWEST_SAMPLES,
    FIRST_SAMPLES,
    Baseline,
    GenerationStats,
    PerformanceMonitor,
    PlainClock,
    RoundStats,
    ratio,
    rolling_acceptance,
    rolling_speed,
)

MILLISECOND = 1e-3
seconds = st.floats(0, 100)


@st.composite
def any_round(draw):
    drafted = draw(st.integers(0, 16))
    accepted = draw(st.integers(0, drafted))
    times = [draw(seconds) for _ in range(3)]
    return RoundStats("lookup", drafted, accepted, accepted + 1, *times, depth=draw(st.integers(0)))


def plain_round(total_s: float) -> RoundStats:
    return RoundStats(None, 0, 0, 1, 0.0, total_s, total_s, 0)


def rates(stats: GenerationStats) -> list[float]:
    return [
        stats.tokens_per_second,
        stats.tpot_s,
        stats.acceptance_rate,
        stats.mean_acceptance_length,
        stats.speedup,
    ]


@given(st.lists(any_round(), max_size=40))
def test_rounds_sum_to_the_answer(rounds):
    monitor = PerformanceMonitor()
    monitor.extend(rounds)
    stats = monitor.result()
    assert stats.rounds == len(rounds)
    assert stats.drafted == sum(r.drafted for r in rounds)
    assert stats.accepted == sum(r.accepted for r in rounds)
    assert stats.completion_tokens == sum(r.emitted for r in rounds)
    assert stats.completion_tokens == stats.accepted + stats.rounds
    assert stats.decode_s == pytest.approx(sum(r.total_s for r in rounds))


@given(st.lists(any_round(), max_size=40))
def test_the_histogram_holds_every_round_and_every_accepted_token(rounds):
    monitor = PerformanceMonitor()
    monitor.extend(rounds)
    histogram = monitor.result().accepted_histogram
    assert sum(histogram) == len(rounds)
    assert sum(count * length for length, count in enumerate(histogram)) == monitor.accepted


@given(st.lists(any_round(), max_size=40), st.floats(0, 1e4))
def test_no_rate_is_undefined_or_negative(rounds, plain_rate):
    monitor = PerformanceMonitor(baseline=Baseline(plain_rate))
    monitor.extend(rounds)
    assert all(rate >= 0 and not math.isnan(rate) for rate in rates(monitor.result()))
    assert all(rate >= 0 for rate in rolling_acceptance(rounds) + rolling_speed(rounds))


def test_an_empty_answer_has_rates_of_zero_and_a_mean_length_of_one():
    assert rates(PerformanceMonitor().result()) == [0, 0, 0, 1, 0]


def test_the_first_token_counts_as_it_costs_a_pass_like_the_others():
    monitor = PerformanceMonitor(prefill_s=5.0, baseline=Baseline(500.0, "calibration", 16))
    monitor.extend([plain_round(MILLISECOND)] * 4)
    stats = monitor.result()
    assert stats.tokens_per_second == pytest.approx(1000)
    assert stats.tpot_s == pytest.approx(MILLISECOND)
    assert stats.speedup == pytest.approx(2)


def test_an_answer_of_one_speculative_round_is_not_faster_than_its_time():
    monitor = PerformanceMonitor()
    monitor.add(RoundStats("draft", 5, 5, 6, 0.001, 0.002, 0.003, 0))
    assert monitor.result().tokens_per_second == pytest.approx(2000)


def test_the_known_rates_of_a_small_answer():
    monitor = PerformanceMonitor()
    monitor.add(RoundStats("draft", 4, 3, 4, 0.1, 0.1, 0.2, 0))
    monitor.add(RoundStats("draft", 4, 0, 1, 0.1, 0.1, 0.2, 4))
    stats = monitor.result()
    assert stats.acceptance_rate == 3 / 8
    assert stats.mean_acceptance_length == 2.5
    assert stats.accepted_histogram == (1, 0, 0, 1)


def test_a_result_does_not_change_any_more():
    monitor = PerformanceMonitor()
    monitor.add(plain_round(1))
    before = monitor.result()
    copy = [getattr(before, field.name) for field in fields(before)]
    monitor.add(plain_round(1))
    assert [getattr(before, field.name) for field in fields(before)] == copy


def test_the_series_stays_bounded_and_keeps_the_newest_round():
    monitor = PerformanceMonitor(series_limit=8)
    rounds = [plain_round(index) for index in range(100)]
    monitor.extend(rounds)
    assert len(monitor.series) <= 8
    assert monitor.series[-1] == rounds[-1]
    assert monitor.rounds == 100


@given(st.lists(any_round(), min_size=1, max_size=40), st.integers(1, 20))
def test_rolling_acceptance_is_that_of_the_window(rounds, window):
    for index, rate in enumerate(rolling_acceptance(rounds, window)):
        inside = rounds[max(0, index - window + 1) : index + 1]
        expected = ratio(sum(r.accepted for r in inside), sum(r.drafted for r in inside))
        assert rate == pytest.approx(expected)


def test_rolling_speed_forgets_what_left_the_window():
    rounds = [plain_round(1.0)] * 20 + [plain_round(MILLISECOND)] * 16
    assert rolling_speed(rounds, window=16)[-1] == pytest.approx(1000)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_ratio_is_finite_or_zero(part, whole):
    value = ratio(part, whole)
    assert value >= 0
    assert not math.isnan(value)
    assert value == 0 or whole > 0


def test_a_clock_without_samples_knows_nothing():
    assert PlainClock().baseline == Baseline(0.0, "none", 0)


def loaded_clock(*, steps: int = BASELINE_SAMPLES, seconds: float = MILLISECOND) -> PlainClock:
    """A clock with the steps of loading."""
    clock = PlainClock()
    for _ in range(steps):
        clock.note_loading(seconds)
    return clock


def answer(clock: PlainClock, steps: Sequence[float]) -> None:
    """Have a round with a draft, a plain one that does not count, and those that do."""
    clock.begin_answer()
    clock.note_round(1.0, is_plain=False)
    for seconds in (1.0, *steps):
        clock.note_round(seconds, is_plain=True)


@given(st.lists(st.floats(1, 4), min_size=1, max_size=BASELINE_SAMPLES))
def test_the_clock_gives_the_rate_of_the_mean_step(samples):
    clock = PlainClock()
    for sample in samples:
        clock.note_loading(sample)
    assert clock.baseline.tokens_per_second == pytest.approx(1 / fmean(samples))
    assert (clock.baseline.origin, clock.baseline.samples) == ("calibration", len(samples))


def test_one_step_of_an_answer_does_not_move_a_calibrated_clock():
    clock = loaded_clock()
    answer(clock, [10.0])
    assert clock.baseline == Baseline(pytest.approx(1000), "calibration", BASELINE_SAMPLES)


def test_steps_that_are_slower_now_and_then_count_as_they_are():
    clock = PlainClock()
    answer(clock, [(3 if index % 4 == 0 else 1) * MILLISECOND for index in range(12)])
    assert clock.baseline.tokens_per_second == pytest.approx(1000 / 1.5)


def test_steps_of_loading_count_until_there_are_some_of_answers():
    clock = loaded_clock()
    seen = []
    for _ in range(FEWEST_SAMPLES):
        answer(clock, [2 * MILLISECOND])
        seen.append(clock.baseline)
    assert set(seen[:-1]) == {Baseline(seen[0].tokens_per_second, "calibration", BASELINE_SAMPLES)}
    assert seen[0].tokens_per_second == pytest.approx(1000)
    assert seen[-1] == Baseline(pytest.approx(500), "running", FEWEST_SAMPLES)


@pytest.mark.parametrize(("loading_ms", "counts"), [(8, "running"), (1, "calibration")])
def test_of_few_steps_of_answers_and_those_of_loading_the_faster_count(loading_ms, counts):
    clock = loaded_clock(seconds=loading_ms * MILLISECOND)
    answer(clock, [2 * MILLISECOND] * FIRST_SAMPLES)
    assert clock.baseline.origin == counts
    assert clock.baseline.tokens_per_second == pytest.approx(1000 / min(2, loading_ms))


def test_a_step_that_follows_a_draft_and_the_first_of_an_answer_are_slower_and_do_not_count():
    clock = loaded_clock()
    for _ in range(4 * FEWEST_SAMPLES):
        clock.begin_answer()
        for is_plain in (True, False, True, False, True):
            clock.note_round(5 * MILLISECOND, is_plain=is_plain)
    assert clock.baseline == Baseline(pytest.approx(1000), "calibration", BASELINE_SAMPLES)


@pytest.mark.parametrize(
    ("width", "draft_s", "is_plain"), [(1, 0.01, True), (1, 0.5, False), (4, 0.0, False)]
)
def test_a_round_in_which_a_model_drafted_in_vain_is_no_plain_step(width, draft_s, is_plain):
    stats = RoundStats(None, 0, 0, 1, draft_s, 1.0, 1.0 + draft_s, 0)
    assert stats.is_plain(1.0, width) is is_plain


def test_a_plain_answer_is_compared_with_all_of_its_steps_the_first_too():
    clock = loaded_clock()
    clock.begin_answer()
    for index in range(2 * BASELINE_SAMPLES):
        clock.note_round((33 if index == 0 else 1) * MILLISECOND, is_plain=True)
    assert clock.baseline == Baseline(pytest.approx(500), "running", 2 * BASELINE_SAMPLES)


def test_a_clock_remembers_only_the_newest_steps_between_answers():
    clock = loaded_clock(steps=9 * BASELINE_SAMPLES, seconds=1.0)
    for _ in range(BASELINE_SAMPLES):
        clock.note_loading(0.5)
    assert clock.baseline == Baseline(2.0, "calibration", BASELINE_SAMPLES)


def test_an_answer_of_many_steps_is_compared_with_all_of_its_own():
    clock = loaded_clock()
    answer(clock, [(2 if index % 2 else 4) * MILLISECOND for index in range(2 * BASELINE_SAMPLES)])
    assert clock.baseline == Baseline(pytest.approx(1000 / 3), "running", 2 * BASELINE_SAMPLES)


def test_an_answer_of_few_steps_is_compared_with_the_steps_before_it():
    clock = loaded_clock()
    answer(clock, [MILLISECOND] * 12)
    answer(clock, [3 * MILLISECOND] * 4)
    assert clock.baseline.tokens_per_second == pytest.approx(1000 / 1.5)


def test_an_answer_of_long_steps_says_nothing_of_the_next_one():
    clock = loaded_clock()
    steps = [(9 if index < 3 * BASELINE_SAMPLES else 1) * MILLISECOND for index in range(64)]
    answer(clock, steps)
    assert clock.baseline.tokens_per_second == pytest.approx(1000 / 7)
    clock.begin_answer()
    assert clock.baseline.tokens_per_second == pytest.approx(1000)
