from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import SamplingParams, SpeculativeConfig
from tests.chat.stand_in import script
from utils.backends.protocol import ModelChoice
from utils.chat.answer_codec import (
    cut_off,
    decode_answer,
    decode_settings,
    encode_answer,
    encode_settings,
    lost_answer,
)
from utils.chat.answer_record import AnswerRecord
from utils.chat.snapshots import AnswerRequest, Handover, JobSnapshot, SourceRun, Switch
from utils.chat.turns import AnswerSettings
from utils.errors import RequestError
from utils.events import Mode
from utils.performance_monitor import ReportedNumbers, RoundStats

SETTINGS = AnswerSettings(
    SamplingParams(temperature=0, seed=2**62, stop=("\n",), logit_bias={7: -1.5}),
    SpeculativeConfig(enabled=False, draft_model="lookup"),
    "Be brief.",
    ModelChoice("llama3.2:1b", "ollama"),
)


def answer_of(*texts):
    request = AnswerRequest((), SETTINGS.sampling, SETTINGS.speculative, "me", SETTINGS.model)
    record = AnswerRecord(request)
    for event in script(*texts):
        record.take(event)
    return record.snapshot()


FULL = replace(
    answer_of(["Good", " day"], [" \N{SNOWMAN}"]),
    error="it failed",
    opened="<think>\n",
    thought_s=1.5,
    writer="Ollama",
    servers=("Ollama",),
    reported=ReportedNumbers("Ollama", 1, 0.1, 2, 0.2, 0.3),
    handovers=(Handover(3, "the engine died"),),
    switches=(Switch(2, Mode("standard", None, "slow", "Ollama", "why"), 0.25),),
    token_ids=(1, 2, 3),
    held_tokens=1,
    held_chars=2,
    model="target",
    dropped_messages=4,
    context_tokens=4096,
)


def sent(value):
    return json.loads(json.dumps(value, allow_nan=False))


def test_an_answer_comes_back_without_loss():
    assert decode_answer(sent(encode_answer(FULL)), "me") == FULL


def test_every_field_of_an_answer_is_tried_with_a_value_of_its_own():
    empty = lost_answer(AnswerSettings(SamplingParams(), SpeculativeConfig()), "")
    same = {f.name for f in fields(JobSnapshot) if getattr(FULL, f.name) == getattr(empty, f.name)}
    assert same <= {"queue_position"}


def test_settings_come_back_without_loss():
    assert decode_settings(sent(encode_settings(SETTINGS))) == SETTINGS


def test_neither_messages_nor_owner_are_written():
    assert {"messages", "owner"}.isdisjoint(encode_answer(FULL)["request"])


def test_runs_that_are_not_the_text_come_back_too():
    answer = replace(FULL, runs=(SourceRun("plain", "something else"),))
    assert decode_answer(sent(encode_answer(answer)), "me") == answer


def test_many_rounds_take_little_room():
    rounds = tuple(RoundStats("demo-draft", 5, 3, 4, 0.25, 0.5, 0.75, 5) for _ in range(1000))
    assert len(json.dumps(encode_answer(replace(FULL, rounds=rounds)))) < 50_000


def test_fields_of_a_newer_version_are_passed_over():
    data = sent(encode_answer(FULL))
    data["novelty"] = data["stats"]["novelty"] = data["request"]["sampling"]["novelty"] = 1
    data["rounds"]["novelty"] = [1, 2]
    data["switches"][0]["novelty"] = data["switches"][0]["mode"]["novelty"] = 1
    assert decode_answer(data, "me") == FULL


@pytest.mark.parametrize("name", [f.name for f in fields(JobSnapshot)])
def test_a_field_that_an_older_version_did_not_write_is_as_in_an_empty_answer(name):
    data = sent(encode_answer(FULL))
    del data[name]
    if name in ("text", "state"):
        with pytest.raises(RequestError, match="no text or no state"):
            decode_answer(data)
    else:
        assert decode_answer(data).text == FULL.text


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [[]], {"a": 1}, True, -1.5])
@pytest.mark.parametrize("name", [f.name for f in fields(JobSnapshot)])
def test_a_field_of_another_kind_spoils_no_other(name, value):
    data = {**sent(encode_answer(FULL)), name: value}
    try:
        answer = decode_answer(data)
    except RequestError:
        assert name in ("text", "state")
    else:
        assert name == "text" or answer.text == FULL.text


def test_a_value_that_is_not_allowed_any_more_is_the_default():
    data = sent(encode_settings(SETTINGS))
    data["sampling"]["temperature"] = 99
    data["speculative"]["verifier"] = "magic"
    settings = decode_settings(data)
    assert settings.sampling == SETTINGS.sampling.model_copy(update={"temperature": 0.8})
    assert settings.speculative == SETTINGS.speculative


@pytest.mark.parametrize("data", [None, 1, "text", [], {"text": 1, "state": "done"}, {"text": ""}])
def test_what_is_no_answer_is_said_to_be_none(data):
    with pytest.raises(RequestError, match="exported here"):
        decode_answer(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@pytest.mark.no_cover
@given(rounds=JSON, runs=JSON, stats=JSON, request_=JSON)
def test_whatever_stands_there_nothing_else_is_raised(rounds, runs, stats, request_):
    data = {**encode_answer(FULL), "rounds": rounds, "runs": runs, "stats": stats}
    assert decode_answer({**data, "request": request_}).text == FULL.text


def test_an_answer_that_was_being_written_is_cut_off():
    answer = cut_off(replace(FULL, state="writing", error=None))
    assert (answer.state, answer.text) == ("failed", FULL.text)
    assert "the app ended" in answer.error
    assert cut_off(FULL) is FULL
