"""Thoughts and answers: told apart wherever tokens are cut, and nothing of a text is lost."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.reasoning import MARKS, ends_thought, opened_thought, split_reasoning

FRAGMENTS = [*MARKS, *MARKS.values(), "<", "think", ">", "</", "[", "\n", " ", "`", "```", "a", "é"]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)


@pytest.mark.parametrize(("opening", "closing"), MARKS.items())
def test_a_leading_thought_is_told_from_the_answer(opening, closing):
    parts = split_reasoning(f"\n{opening}\nHm, two.\n{closing}\n\n 1 + 1 = 2")
    assert (parts.thought, parts.answer, parts.is_open) == ("Hm, two.", " 1 + 1 = 2", False)


@pytest.mark.parametrize(
    "text",
    [
        "The mark <think>is a mark</think>.",
        "`<think>` begins a thought, `</think>` ends it.",
        "```\n<think>\nx\n</think>\n```",
        "> <think>quoted</think>",
        "no opening</think> here",
        "<thinker>",
        "",
    ],
)
def test_marks_that_lead_no_text_are_text(text):
    parts = split_reasoning(text)
    assert (parts.opening, parts.thought, parts.answer) == ("", "", text)


def test_marks_after_the_thought_are_part_of_the_answer():
    parts = split_reasoning("<think>a</think>Write `<think>b</think>`.")
    assert (parts.thought, parts.answer) == ("a", "Write `<think>b</think>`.")


def test_a_mark_of_another_kind_ends_no_thought():
    assert split_reasoning("[THINK]a</think>b").thought == "a</think>b"


def test_a_thought_without_an_end_is_open():
    parts = split_reasoning("<think>\nHm, ")
    assert (parts.thought, parts.answer, parts.is_open) == ("Hm, ", "", True)
    assert parts.marks == ("<think>\n", "\n</think>\n\n")


def test_an_empty_thought_is_a_mark_and_nothing_else():
    parts = split_reasoning("<think>\n\n</think>\n\nYes.")
    assert (parts.thought, parts.answer) == ("", "Yes.")


@given(text=texts, is_growing=st.booleans())
def test_nothing_is_ever_lost(text, is_growing):
    parts = split_reasoning(text, is_growing=is_growing)
    assert parts.opening + parts.thought + parts.closing + parts.answer == text


@given(pieces=st.lists(st.sampled_from(FRAGMENTS), max_size=8))
def test_what_is_shown_while_a_text_grows_is_never_taken_back(pieces):
    whole = "".join(["<think>\n", *pieces, "</think>\n\nYes."])
    final = split_reasoning(whole)
    for text in accumulate(whole):
        parts = split_reasoning(text, is_growing=True)
        assert final.thought.startswith(parts.thought.rstrip())
        assert final.answer.startswith(parts.answer)


def test_no_piece_of_a_mark_is_shown_while_a_text_grows():
    shown = ""
    for text in accumulate("<think>\nOne < two.\n</think>\n\nYes, </think>."):
        parts = split_reasoning(text, is_growing=True)
        shown += f"|{parts.thought}|{parts.answer}"
    assert "<t" not in shown
    assert "</" not in shown.replace("Yes, </", "")


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>\n"),
        ("[/INST][THINK]", "[THINK]"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        ("<think>\n<|im_start|>assistant\n", ""),
    ],
)
def test_a_prompt_tells_whether_it_opens_a_thought(prompt, mark):
    assert opened_thought(prompt) == mark


def test_ends_of_thoughts_are_found():
    assert ends_thought("so.\n[/THINK]")
    assert not ends_thought("<think>")
