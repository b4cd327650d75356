from __future__ import annotations

import pytest

from utils.performance_monitor import RoundStats
from utils.round_figures import (
    acceptance_by_place,
    accepted_lengths,
    pass_times,
    slowdown,
    time_split,
    usual_length,
)


def round_of(drafted, accepted, *, draft_s=0.0, verify_s=0.01, total_s=None):
    total = draft_s + verify_s if total_s is None else total_s
    return RoundStats("d", drafted, accepted, accepted + 1, draft_s, verify_s, total, 0)


def test_each_place_counts_only_the_rounds_that_drafted_so_far():
    places = acceptance_by_place([round_of(3, 3), round_of(3, 1), round_of(1, 0), round_of(0, 0)])
    assert [(p.number, p.drafted, p.accepted) for p in places] == [(1, 3, 2), (2, 2, 1), (3, 2, 1)]
    assert places[1].rate == 0.5


def test_a_place_where_nothing_was_ever_kept_is_there_too():
    assert [place.rate for place in acceptance_by_place([round_of(2, 0)])] == [0, 0]


def test_without_drafts_there_are_no_places_and_no_lengths():
    for rounds in ([], [round_of(0, 0)]):
        assert acceptance_by_place(rounds) == ()
        assert accepted_lengths(rounds) == ()


def test_lengths_count_rounds_with_drafts_only():
    rounds = [round_of(4, 0), round_of(4, 2), round_of(4, 2), round_of(0, 0)]
    assert accepted_lengths(rounds) == (1, 0, 2)


def test_places_and_lengths_agree_on_how_much_was_kept():
    rounds = [round_of(4, n % 5) for n in range(33)]
    kept = sum(stats.accepted for stats in rounds)
    assert sum(place.accepted for place in acceptance_by_place(rounds)) == kept
    assert sum(n * count for n, count in enumerate(accepted_lengths(rounds))) == kept


def test_the_time_is_split_without_a_rest():
    split = time_split([round_of(4, 2, draft_s=0.1, verify_s=0.2, total_s=0.5)] * 2, prefill_s=1.0)
    assert (split.draft_s, split.verify_s) == (0.2, 0.4)
    assert split.other_s == pytest.approx(0.4)
    assert split.total_s == pytest.approx(2.0)


def test_parts_that_were_timed_longer_than_the_whole_leave_nothing_else():
    assert time_split([round_of(1, 0, draft_s=1, verify_s=1, total_s=1.9)]).other_s == 0


def test_passes_are_told_by_width_in_the_middle():
    rounds = [round_of(0, 0, verify_s=s) for s in (0.01, 0.02, 0.9)] + [round_of(3, 1)]
    assert pass_times(rounds) == ((1, 0.02), (4, 0.01))


def test_the_usual_length_is_the_one_chosen_most_often():
    assert usual_length([round_of(5, 1), round_of(5, 2), round_of(0, 0)]) == 5
    assert usual_length([]) is None


def test_slowing_down_is_seen_in_passes_of_equal_width_alone():
    narrow, wide = round_of(0, 0, verify_s=0.01), round_of(8, 3, verify_s=0.05)
    slow = round_of(8, 3, verify_s=0.1)
    assert slowdown([*[narrow] * 30, *[wide] * 32]) == 1
    assert slowdown([*[wide] * 32, *[slow] * 32, narrow]) == 2
    assert slowdown([*[wide] * 15, *[slow] * 16]) == 1
    assert slowdown([]) == 1
