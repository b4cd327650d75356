"""What drafting takes: time to begin, and time for each token."""

from __future__ import annotations

import random

import pytest

from utils.drafters.draft_cost import DraftCost


def test_what_it_takes_to_begin_is_told_apart_from_what_a_token_takes():
    rng, cost = random.Random(1), DraftCost(0.2)
    for _ in range(400):
        count = rng.randint(1, 16)
        cost.note(count, 0.85 + 0.25 * count)
    assert cost.begin_s == pytest.approx(0.85, rel=0.05)
    assert cost.token_s == pytest.approx(0.25, rel=0.05)


def test_drafts_that_are_all_equally_long_are_known_to_cost_what_they_did():
    cost = DraftCost(0.2)
    for _ in range(100):
        cost.note(8, 3.2)
    assert cost.seconds(8) == pytest.approx(3.2, rel=0.01)
    assert 0 < cost.token_s < 0.4


def test_one_slow_draft_changes_little():
    cost = DraftCost(0.2)
    for _ in range(100):
        cost.note(4, 1.0)
    cost.note(4, 1000.0)
    assert cost.seconds(4) < 1.15


def test_no_cost_falls_under_nothing_whatever_was_measured():
    cost = DraftCost(1.0)
    for count in (1, 16) * 50:
        cost.note(count, 2.0 if count == 1 else 1.0)
    assert cost.begin_s >= 0
    assert cost.token_s > 0
