from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chat.stand_in import BASELINE, round_of
from utils.chat.passages import Passage, passages
from utils.chat.snapshots import AnswerRecord
from utils.events import Mode, Started

HANDOVER = Mode("standard", None, "it broke", handover="it broke; Ollama went on from here")
WHY = HANDOVER.handover


@pytest.fixture
def record(request_):
    return AnswerRecord(request_)


def shown(record, *events, opened=""):
    record.take(Started(3, 0, 1, BASELINE, opened))
    for event in events:
        record.take(round_of([event], drafted=0) if isinstance(event, str) else event)
    return passages(record.snapshot())


def test_an_answer_without_thoughts_is_one_passage(record):
    assert shown(record, "Good", " day").answer == (Passage("Good day"),)


def test_thought_and_answer_are_shown_apart_without_marks(record):
    parts = shown(record, "<think>\nHm.\n</thi", "nk>\n\nYes.")
    assert (parts.thought, parts.answer) == ((Passage("Hm."),), (Passage("Yes."),))
    assert not parts.is_thinking


def test_a_thought_that_the_prompt_opened_is_one(record):
    parts = shown(record, "Hm.", opened="<think>\n")
    assert (parts.thought, parts.answer, parts.is_thinking) == ((Passage("Hm."),), (), True)


def test_nothing_is_shown_before_the_first_text(record):
    parts = shown(record, opened="<think>\n")
    assert (parts.thought, parts.answer, parts.is_thinking) == ((), (), False)


def test_a_handover_stands_between_what_one_and_what_the_other_wrote(record):
    assert shown(record, "It was ", HANDOVER, "dark.").answer == (
        Passage("It was "),
        Passage("dark.", WHY),
    )


@pytest.mark.parametrize("opened", ["", "<think>\n"])
def test_a_handover_within_a_thought_stands_there(record, opened):
    first = "Hm, " if opened else "<think>\nHm, "
    parts = shown(record, first, HANDOVER, "so.\n</think>\n\nYes.", opened=opened)
    assert parts.thought == (Passage("Hm, "), Passage("so.", WHY))
    assert parts.answer == (Passage("Yes."),)


@pytest.mark.parametrize("opened", ["", "<think>\n"])
def test_a_handover_after_a_thought_stands_in_the_answer(record, opened):
    first = "Hm.\n</think>\n\nYes" if opened else "<think>\nHm.\n</think>\n\nYes"
    parts = shown(record, first, HANDOVER, ", yes.", opened=opened)
    assert parts.thought == (Passage("Hm."),)
    assert parts.answer == (Passage("Yes"), Passage(", yes.", WHY))


def test_code_that_is_handed_over_goes_on_as_code(record):
    parts = shown(record, "So:\n```python\na = 1\n", HANDOVER, "b = 2\n```\nDone.")
    assert parts.answer[1] == Passage("```python\nb = 2\n```\nDone.", WHY)


@given(st.lists(st.sampled_from(["a", " b", "<think>", "</think>", "\n"]), min_size=1, max_size=8))
def test_all_handovers_and_all_text_are_shown(words):
    record = AnswerRecord(None)
    parts = shown(record, *(event for word in words for event in (word, HANDOVER)))
    pieces = [*parts.thought, *parts.answer]
    assert sum(bool(piece.handover) for piece in pieces) == len(words)
    text = "".join(piece.text for piece in pieces)
    assert all(word in text for word in ("a", " b") if word in words)
