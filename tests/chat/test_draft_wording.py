from __future__ import annotations

from dataclasses import replace

import pytest

from utils.chat import draft_wording as wording
from utils.draft_ranking import RankedDraft

TIMES = "\N{MULTIPLICATION SIGN}"
SMALL = RankedDraft(
    "small", "small (Q4)", "usable", "1/8 of the size", 1, 1.8, fit="same", was_tried=True
)
LOOKUP = RankedDraft("lookup", "Lookup", "usable", "takes no memory", 2, 1.1, fit="same")
LARGE = RankedDraft("half", "half", "too large", "does not fit in memory", speedup=1.5)
ODD = RankedDraft("odd", "odd", "unfit", "the vocabularies differ", overlap=0.0)


@pytest.mark.parametrize(
    ("draft", "label", "tone"),
    [
        (SMALL, "Best here", "good"),
        (LOOKUP, "Fits", "quiet"),
        (LARGE, "Does not fit in memory", "bad"),
        (ODD, "Cannot draft", "bad"),
    ],
)
def test_a_badge_says_where_a_draft_stands(draft, label, tone):
    badge = wording.draft_badge(draft)
    assert (badge.label, badge.tone) == (label, tone)


def test_a_draft_is_called_with_its_place_where_it_has_one():
    assert wording.draft_name(SMALL) == "1. small (Q4)"
    assert wording.draft_name(LARGE) == "half"


def test_facts_tell_measured_speed_vocabulary_and_trial():
    assert wording.draft_facts(SMALL, (41.25, 1.52, 12)) == (
        f"Measured in 12 kept answers: 41.2 tokens/s, 1.52{TIMES} plain; the vocabulary of the "
        "target; tried: it works."
    )


def test_a_draft_that_is_ranked_by_answers_has_one_speedup_which_its_sentence_tells():
    ranked = replace(SMALL, is_measured=True)
    said = wording.draft_facts(ranked, (41.25, 1.52, 12))
    assert said.startswith("Measured in 12 kept answers: 41.2 tokens/s; the vocabulary")
    assert TIMES not in said
    assert wording.draft_facts(ranked, None).startswith("The vocabulary of the target;")
    too_large = replace(ranked, verdict="too large")
    assert f"1.52{TIMES} plain" in wording.draft_facts(too_large, (41.25, 1.52, 12))
    assert wording.draft_facts(replace(LOOKUP, is_measured=True), None) == ""


def test_what_is_not_known_is_told_as_such():
    draft = replace(SMALL, was_tried=False)
    assert wording.draft_facts(draft, None) == (
        "Not measured in answers yet; the vocabulary of the target; not tried yet."
    )


def test_a_speed_without_a_plain_one_claims_no_speedup():
    said = wording.draft_facts(SMALL, (41.0, 0.0, 1))
    assert said.startswith("Measured in 1 kept answer: 41.0 tokens/s;")


@pytest.mark.parametrize(
    ("fit", "told"),
    [
        ("tokens", "drafts in the tokens that both vocabularies have"),
        ("text", "writes text, which is tokenized for the target"),
    ],
)
def test_another_vocabulary_is_never_called_that_of_the_target(fit, told):
    for overlap in (1.0, 0.3):
        said = wording.draft_facts(replace(SMALL, overlap=overlap, fit=fit), None)
        assert told in said
        assert "the vocabulary of the target" not in said


def test_nothing_is_said_of_a_vocabulary_that_nobody_looked_at():
    assert "vocabular" not in wording.draft_facts(replace(SMALL, fit=None), None)


def test_lookup_has_neither_vocabulary_nor_file():
    assert wording.draft_facts(LOOKUP, None) == "Not measured in answers yet."


@pytest.mark.parametrize(
    ("drafts", "lacks"),
    [
        ([SMALL, LOOKUP], False),
        ([LOOKUP], True),
        ([LOOKUP, LARGE, ODD], True),
        ([LOOKUP, replace(SMALL, speedup=1.0)], True),
        ([], True),
    ],
)
def test_a_target_lacks_a_draft_where_none_does_more_than_lookup(drafts, lacks):
    assert wording.lacks_draft(drafts) == lacks


def test_a_suggestion_says_what_it_is_and_why():
    said = wording.suggestion_sentence("llama3.1:8b", "llama3.2:1b", [LOOKUP])
    assert said.startswith("No model that is installed can draft for it. llama3.2:1b, from")
    weak = wording.suggestion_sentence("a", "b", [LOOKUP, replace(SMALL, speedup=1.0)])
    assert weak.startswith("What is installed is not expected to draft well for it.")


def test_a_suggestion_promises_nothing_of_what_is_not_measured():
    said = wording.suggestion_sentence("codellama:34b", "tinyllama:1.1b", [LOOKUP])
    assert "likely" not in said
    assert said.endswith("how well it drafts for codellama:34b is found out once it is here.")
