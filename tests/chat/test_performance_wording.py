from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chat.test_answer_groups import EMPTY, FAST, SLOW
from utils.chat import performance_wording as wording
from utils.chat.answer_groups import group_answers
from utils.engine.figures import DraftFigures
from utils.performance_monitor import RoundStats
from utils.round_figures import Place, TimeSplit

TIMES = "\N{MULTIPLICATION SIGN}"
DRAFTED = RoundStats("small", 4, 2, 3, 0.01, 0.02, 0.04, 0)
PLAIN = RoundStats(None, 0, 0, 1, 0.0, 0.02, 0.02, 0)
LEARNT = DraftFigures("small", 0.002, 0.81, 300, 0.4, 50, 5)


def test_a_row_has_all_figures_of_a_group():
    (group,) = group_answers([FAST, SLOW, EMPTY])
    assert wording.group_row(group) == {
        "Model": "large",
        "Draft": "small",
        "Answers": "3, 1 failed",
        "Tokens/s": "37.5",
        "Speedup": f"1.50{TIMES}",
        "Accepted": "60%",
        "Tokens a round": "1.4",
        "First token": "200 ms",
    }


def test_what_drafted_nothing_is_plain_itself_and_is_not_compared():
    plain = replace(FAST, drafter="", drafted=0, accepted=0)
    (group,) = group_answers([plain])
    assert group.speedup > 0
    assert wording.group_row(group)["Speedup"] == "-"
    assert "plain" not in wording.speeds_sentence(group)
    assert "plain" not in wording.answer_label(1, plain)


def test_what_is_not_known_is_a_dash_in_a_row():
    (group,) = group_answers([EMPTY])
    row = wording.group_row(group)
    assert {row[name] for name in ("Tokens/s", "Speedup", "Accepted", "First token")} == {"-"}


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "large, draft: small"),
        ({"model": "embedded", "drafter": "lookup"}, "Embedded target, draft: lookup in the text"),
        ({"drafter": ""}, "large, draft: none"),
        ({"drafter": "", "backend": "ollama"}, "draft: none, in Ollama"),
        ({"model": ""}, "unknown model"),
    ],
)
def test_a_group_is_called_by_model_and_draft(changes, label):
    (group,) = group_answers([replace(FAST, **changes)])
    assert label in wording.group_label(group)


def test_an_answer_is_called_by_its_time_and_speed():
    label = wording.answer_label(7, FAST)
    assert label.startswith("7: 01 Jan, ")
    assert label.endswith(f":16 · 100 tokens · 50.0 tokens/s · 2.0{TIMES} plain")
    assert wording.answer_label(1, EMPTY).endswith("· failed")


def test_acceptance_by_place_is_told_from_the_first_to_the_last():
    assert wording.places_sentence([]) == "Nothing was drafted."
    first, last = Place(1, 10, 9), Place(5, 4, 1)
    assert wording.places_sentence([first]) == (
        "The first token of a draft was kept 90% of the time."
    )
    assert wording.places_sentence([first, last]).endswith("time, one at place 5: 25%.")


def test_kept_lengths_are_told_with_the_rounds_that_went_without():
    assert wording.lengths_sentence([0, 0, 1], [DRAFTED, PLAIN, PLAIN]) == (
        "A round with drafts kept 2.0 of them on average. 2 of 3 rounds drafted nothing."
    )
    assert wording.lengths_sentence([], []) == "Nothing was drafted."


def test_the_time_is_told_from_the_largest_part_down():
    split = TimeSplit(prefill_s=1.0, draft_s=2.0, verify_s=5.0, other_s=2.0)
    assert wording.time_sentence(split) == (
        "Verify 5.0 s, 50%; draft 2.0 s, 20%; other 2.0 s, 20%; prompt 1.0 s, 10%."
    )
    assert wording.time_sentence(TimeSplit()) == "No time was measured."


def test_costs_are_told_beside_a_plain_pass_with_the_length_chosen():
    costs = ((1, 0.01), (2, 0.015), (8, 0.03), (16, 0.2))
    said = wording.costs_sentence(costs, 4)
    assert "A pass over 8 tokens takes 3.0 times as long as over one (10 ms)." in said
    assert "Most often 4 drafted tokens" in said
    assert "no drafted tokens" in wording.costs_sentence(costs, 0)
    assert "1 drafted token went" in wording.costs_sentence(costs, 1)
    assert "when the model is loaded" in wording.costs_sentence((), None)


@pytest.mark.parametrize(
    ("wide_s", "said"),
    [
        (0.0106, "takes 1.1 times as long as over one (10 ms)."),
        (0.0104, "takes about as long as over one (10 ms)."),
        (0.0091, "takes about as long as over one (10 ms)."),
    ],
)
def test_no_pass_is_said_to_take_less_than_a_plain_one(wide_s, said):
    assert wording.costs_sentence(((1, 0.01), (8, wide_s)), None) == f"A pass over 8 tokens {said}"


def test_costs_that_cannot_be_are_said_to_come_from_a_busy_machine():
    said = wording.costs_sentence(((1, 0.01), (8, 0.006)), 4)
    assert "takes about as long as over one" in said
    assert "0.6 times as long, which cannot be: the machine was busy" in said
    assert "Most often 4 drafted tokens" in said


def test_what_the_engine_expects_of_a_draft_is_told():
    assert wording.expectation(LEARNT) == (
        "Small: 81% of its guesses are expected to be kept, at 2.0 ms a token; 40% of copied "
        "tokens; 5 tokens a round would pay best now."
    )
    lookup = DraftFigures("lookup", 0.0, 0.4, 0, 0.4, 0, 0)
    assert wording.expectation(lookup) == (
        "Lookup in the text: drafting nothing would pay best now."
    )
    judged = wording.expectation(replace(lookup, lookup_judged=9))
    assert "text: 40% of copied tokens are expected to be kept; drafting" in judged


def test_memory_is_told_by_its_parts_and_what_is_left():
    parts = [("Target", 2 * 10**9), ("Draft", 0), ("Context", 10**9)]
    assert wording.memory_sentence(parts, 4 * 10**9) == (
        "3.0 GB in all: target 2.0 GB, context 1.0 GB. 4.0 GB are left on this machine."
    )
    assert wording.memory_sentence([], None) == "The engine holds another model now, or none."


def test_speeds_are_told_with_the_plain_ones_where_known():
    (group,) = group_answers([FAST, SLOW])
    assert wording.speeds_sentence(group) == (
        f"Median of 2 answers: 37.5 tokens/s, 1.50{TIMES} plain (dotted)."
    )
    (alone,) = group_answers([FAST])
    assert wording.speeds_sentence(alone) == f"50.0 tokens/s, 2.00{TIMES} plain (dotted)."
    (failed,) = group_answers([EMPTY])
    assert wording.speeds_sentence(failed) == "No speed was measured."


def test_the_draft_length_is_told_for_line_and_area():
    assert wording.timeline_sentence([DRAFTED, PLAIN]) == (
        "Drafted 2.0 tokens a round (line), kept 1.0 (area)."
    )
    assert wording.timeline_sentence([]) == "No rounds were kept of it."
