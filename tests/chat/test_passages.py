from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import SamplingParams, SpeculativeConfig
from tests.chat.stand_in import BASELINE, round_of
from utils.chat.answer_record import AnswerRecord
from utils.chat.passages import LONGEST_PIECE_CHARS, PIECE_CHARS, Passage, passages, pieces
from utils.chat.snapshots import AnswerRequest
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
    request = AnswerRequest((), SamplingParams(), SpeculativeConfig(), "")
    record = AnswerRecord(request)
    parts = shown(record, *(event for word in words for event in (word, HANDOVER)))
    pieces = [*parts.thought, *parts.answer]
    assert sum(bool(piece.handover) for piece in pieces) == len(words)
    text = "".join(piece.text for piece in pieces)
    assert all(word in text for word in ("a", " b") if word in words)


PARAGRAPH = "Some words of an answer, as they come.\n\n"
BLOCKS = (
    PARAGRAPH,
    "- one\n- two\n\n  still two\n\n",
    "1. one\n\n2. two\n\n",
    "```python\na = 1\n\nb = 2\n```\n\n",
    "| a | b |\n| - | - |\n| 1 | 2 |\n\n",
    "$$\nx\n\ny\n$$\n\n",
    "> quoted\n\n> more\n\n",
)


def test_a_short_text_is_one_piece_and_an_empty_one_none():
    assert pieces(PARAGRAPH) == (PARAGRAPH,)
    assert pieces("") == ()


def test_a_long_text_is_cut_between_paragraphs():
    cut = pieces(PARAGRAPH * 1000)
    assert "".join(cut) == PARAGRAPH * 1000
    assert all(piece.endswith(PARAGRAPH) for piece in cut)
    assert {len(piece) // PIECE_CHARS for piece in cut[:-1]} == {1}


@pytest.mark.no_cover
@given(st.lists(st.sampled_from(BLOCKS), min_size=200, max_size=400), st.randoms())
def test_cuts_stay_where_they_are_while_a_text_grows(blocks, random):
    text = "".join(blocks)
    whole = pieces(text)
    for _ in range(5):
        begun = pieces(text[: random.randrange(1, len(text))])
        assert begun[:-1] == whole[: len(begun) - 1]


@pytest.mark.parametrize("block", BLOCKS[1:])
def test_no_list_code_table_formula_or_quotation_is_cut(block):
    text = (PARAGRAPH * 20 + block) * 100
    cut = pieces(text)
    assert len(cut) > 5
    assert "".join(cut) == text
    assert all(piece.startswith("Some words") for piece in cut)
    assert sum(piece.count(block) for piece in cut) == 100


def test_endless_code_is_cut_and_goes_on_as_code():
    cut = pieces("```python\n" + "a = 1\n" * 10_000)
    assert all(piece.startswith("```python\na = 1\n") for piece in cut)
    assert all(len(piece) < LONGEST_PIECE_CHARS + 100 for piece in cut)


def test_an_endless_line_is_cut_between_words():
    text = "word " * 20_000
    cut = pieces(text)
    assert "".join(cut) == text
    assert all(len(piece) <= 2 * LONGEST_PIECE_CHARS for piece in cut)
    assert all(piece.startswith("word ") for piece in cut)
