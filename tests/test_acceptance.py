"""How likely drafted tokens are kept: learnt, calibrated, and open to change."""

from __future__ import annotations

import math
import random

import pytest

from utils.acceptance import Acceptance, of_margins, of_matches


def test_before_anything_is_seen_the_prior_counts():
    acceptance = Acceptance([1.0], [0.2, 0.9])
    assert (acceptance.rate(0.5), acceptance.rate(1.0)) == (0.2, 0.9)


def test_rates_are_calibrated_to_what_happens():
    """Reliability: in each bin the rate is what was kept there, within 5 standard deviations."""
    rng = random.Random(5)
    acceptance = of_margins()

    def truth(margin: float) -> float:
        return 1 / (1 + math.exp(1.0 - 1.3 * margin))

    for _ in range(20_000):
        margin = rng.expovariate(0.5)
        acceptance.learn([(margin, rng.random() < truth(margin))])
    outcomes: dict[float, list[tuple[float, bool]]] = {}
    for _ in range(20_000):
        margin = rng.expovariate(0.5)
        rate = acceptance.rate(margin)
        outcomes.setdefault(rate, []).append((rate, rng.random() < truth(margin)))
    for rate, seen in outcomes.items():
        kept = sum(was_kept for _, was_kept in seen) / len(seen)
        # A bin remembers some 400 tokens, so its rate has a spread of its own.
        deviation = math.sqrt(max(rate * (1 - rate), 0.01) * (1 / len(seen) + 1 / 400))
        assert abs(kept - rate) < 5 * deviation


def test_older_tokens_fade():
    acceptance = Acceptance([], [0.5])
    acceptance.learn([(0, True)] * 2000)
    acceptance.learn([(0, False)] * 600)
    assert acceptance.rate(0) < 0.3
    assert acceptance.newest < 0.01
    assert acceptance.expected < 0.15


def test_an_answer_says_soon_what_to_expect_of_it_and_the_next_one_begins_with_what_is_usual():
    acceptance = Acceptance([], [0.5])
    for rate in (0.9, 0.3) * 40:
        acceptance.begin_answer()
        acceptance.learn((0, index % 10 < 10 * rate) for index in range(30))
        assert acceptance.expected == pytest.approx(rate, abs=0.15)
    acceptance.begin_answer()
    assert acceptance.expected == pytest.approx(0.6, abs=0.05)


def test_the_first_answers_say_at_once_what_is_usual():
    acceptance = Acceptance([], [0.5])
    for _ in range(3):
        acceptance.begin_answer()
        acceptance.learn([(0, True)] * 150)
    acceptance.begin_answer()
    assert acceptance.expected > 0.95


def test_an_answer_with_a_single_draft_changes_little_of_what_is_usual():
    acceptance = Acceptance([], [0.5])
    before = acceptance.expected
    acceptance.learn([(0, False)])
    acceptance.begin_answer()
    assert 0.98 * before < acceptance.expected < before


@pytest.mark.parametrize("make", [of_margins, of_matches])
def test_priors_rise_with_what_speaks_for_a_token(make):
    rates = [rate for _, rate in make().curve()]
    assert rates == sorted(rates)
    assert all(0 < rate < 1 for rate in rates)


def test_a_place_in_the_draft_is_judged_by_what_was_kept_there():
    acceptance = of_margins()
    for _ in range(60):
        acceptance.learn([(1.2, False)], first=0)
        acceptance.learn([(1.2, True)] * 2, first=7)
    early, late = acceptance.rate(1.2, 0), acceptance.rate(1.2, 9)
    assert early < 0.3
    assert late > 0.85
    assert early < acceptance.rate(1.2) < late


def test_a_place_that_was_never_reached_is_judged_as_any_other():
    acceptance = of_margins()
    acceptance.learn([(1.2, True), (1.2, False)] * 50)
    assert acceptance.rate(1.2, 5) == acceptance.rate(1.2)
