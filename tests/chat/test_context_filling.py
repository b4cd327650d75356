from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chat.stand_in import BASELINE, MODEL, finished, round_of
from utils.chat.answer_record import AnswerRecord
from utils.chat.context_filling import ContextFilling, context_filling
from utils.events import Started


@pytest.fixture
def answer(request_):
    record = AnswerRecord(request_)
    rounds = [round_of(["a", "b"], drafted=1)]
    record.take(Started(12, 4, 7, BASELINE, context_tokens=64, dropped_messages=2))
    record.take(rounds[0])
    record.take(finished(rounds))
    return record.snapshot()


def test_prompt_and_answer_fill_the_context_that_the_answer_tells(answer):
    filling = context_filling(answer, MODEL)
    assert (filling.used, filling.total, filling.dropped) == (14, 64, 2)
    assert filling.line == "Context: 14 of 64 tokens"


def test_the_loaded_model_tells_the_size_where_the_answer_does_not(answer):
    unknown = replace(answer, context_tokens=0)
    assert context_filling(unknown, MODEL).total == MODEL.context_tokens
    assert context_filling(unknown, None).share == 0
    assert context_filling(replace(unknown, writer="Ollama (demo)"), MODEL).total == 0


@pytest.mark.parametrize(
    ("filling", "said"),
    [
        (ContextFilling(10, 100), ""),
        (ContextFilling(80, 100), "nearly full"),
        (ContextFilling(80, 100, 1), "oldest message was left out"),
        (ContextFilling(80, 100, 4), "oldest 4 messages were left out"),
    ],
)
def test_what_no_longer_fits_is_said(filling, said):
    assert (said in filling.note) if said else not filling.note


def test_a_context_is_never_more_than_full():
    assert ContextFilling(200, 100).share == 1
