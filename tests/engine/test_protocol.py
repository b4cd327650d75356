"""Every message survives the pipe; what is no message is refused with a reason."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ModelOptions, SamplingParams, SpeculativeConfig
from utils import events
from utils.engine import protocol
from utils.engine.figures import DraftFigures, PassCosts, TokenLogit
from utils.engine.protocol import MAX_LINE_BYTES, Happened, decode_reply, decode_request, encode
from utils.errors import ProtocolError
from utils.model_session import ModelInfo
from utils.performance_monitor import Baseline, PerformanceMonitor, RoundStats

BASELINE = Baseline(123.25, "calibration", 16)
ROUND = RoundStats("draft", 5, 3, 4, 0.25, 0.5, 0.75, 17)
MODEL = ModelInfo("a.gguf", "a", "llama", "F16", 11_000_000, 2**25, 4096, 2048, 1024, 2, 2)
TOKEN = events.Token(17, "é\n\u2028\x00", "accepted", 0.125)
STATS = PerformanceMonitor(baseline=BASELINE, histogram=[1, 2]).result()
NEXT = TokenLogit(17, "é", -1.5)
SAMPLING = SamplingParams(logit_bias={5: -1.5}, stop=("\n", "END"), seed=2**63 - 1)
TURNS = (protocol.ChatMessage(role="user", content='line\n"quoted" \u2028 \x00 🦙'),)

REQUESTS = [
    protocol.Load(id="1", path="/models/ü.gguf", options=ModelOptions(threads=2)),
    protocol.Generate(
        id="2",
        messages=TURNS,
        sampling=SAMPLING,
        speculative=SpeculativeConfig(verifier="block"),
        draft=protocol.DraftChoice(kind="model", name="small", path="b.gguf"),
    ),
    protocol.Inspect(id="4", messages=TURNS, written_ids=(1, 2), candidates=(3,)),
    protocol.Cancel(id="2"),
    protocol.GetStats(id="3"),
    protocol.Close(),
]
REPLIES = [
    protocol.Ready(pid=1, llama_cpp_version="0.3.36", system_info="AVX2", has_gpu=False),
    protocol.Progress(id="1", stage="opening", share=0.5),
    protocol.Loaded(id="1", model=MODEL, baseline=BASELINE, load_s=0.5),
    protocol.Failed(id="1", code="model_file", message="too short: 3 bytes"),
    protocol.Inspected(id="4", prompt_tokens=9, candidates=(NEXT,), top=NEXT),
    protocol.Stats(
        id="3",
        rss_bytes=1,
        cached_tokens=2,
        target=MODEL,
        answers=3,
        open_drafts=(MODEL, MODEL),
        passes=(PassCosts(12, (0.5, 0.75)),),
        drafts=(DraftFigures("small", 0.01, 0.75, 8, 0.5, 3, 4),),
    ),
    protocol.Heartbeat(progress_age_s=0.0),
]
EVENTS = [
    events.Queued(1),
    events.Started(200, 150, 2**63 - 1, BASELINE, "<think>", 4, 2048, "small"),
    events.Prefilled(3, 5),
    events.Mode("standard", None, "no draft: vocabularies differ at token 7"),
    events.Tokens((TOKEN, TOKEN), (ROUND,), BASELINE),
    events.Finished("stop", STATS, held_tokens=1, held_chars=2),
]


def name_of(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("message", REQUESTS, ids=name_of)
def test_a_request_arrives_as_it_was_sent(message):
    assert decode_request(encode(message)) == message


@pytest.mark.parametrize("message", REPLIES, ids=name_of)
def test_a_reply_arrives_as_it_was_sent(message):
    assert decode_reply(encode(message)) == message


@pytest.mark.parametrize("event", EVENTS, ids=name_of)
def test_an_event_arrives_as_it_was_sent(event):
    message = Happened(id="7", event=event)
    assert decode_reply(encode(message)) == message


def test_every_kind_of_message_is_tried_above():
    assert {type(message) for message in REQUESTS} == set(get_args(protocol.ToWorker))
    assert {type(message) for message in REPLIES} == set(get_args(protocol.FromWorker)) - {Happened}
    assert {type(event) for event in EVENTS} == set(get_args(events.Event))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_takes_one_line_and_arrives_whole(text):
    line = encode(protocol.Failed(id=text, code="x", message=text))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_reply(line) == protocol.Failed(id=text, code="x", message=text)


MALFORMED = {
    "empty": b"",
    "blank": b"\n",
    "no JSON": b"Segmentation fault\n",
    "half a line": encode(REQUESTS[0])[:-10],
    "two on a line": encode(REQUESTS[-1])[:-1] + encode(REQUESTS[-1]),
    "no object": b"[]",
    "null": b"null",
    "no type": b"{}",
    "unknown type": b'{"type":"explode"}',
    "number as type": b'{"type":3}',
    "unknown field": b'{"type":"close","force":true}',
    "missing field": b'{"type":"cancel"}',
    "wrong kind of field": b'{"type":"cancel","id":{}}',
    "no UTF-8": b'{"type":"cancel","id":"\xff"}',
    "lone surrogate": b'{"type":"cancel","id":"\\ud800"}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("decode", [decode_request, decode_reply])
def test_a_malformed_line_is_a_protocol_error(decode, line):
    with pytest.raises(ProtocolError, match="message is not understood"):
        decode(line)


@given(st.binary(max_size=200))
def test_random_bytes_are_a_protocol_error(line):
    with pytest.raises(ProtocolError):
        decode_request(line)


@pytest.mark.parametrize("message", REQUESTS, ids=name_of)
def test_the_worker_s_side_does_not_take_requests_for_replies(message):
    with pytest.raises(ProtocolError):
        decode_reply(encode(message))


def test_an_oversized_line_is_refused_unread():
    with pytest.raises(ProtocolError, match=f"more than {MAX_LINE_BYTES}"):
        decode_request(b" " * (MAX_LINE_BYTES + 1))


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b'"nan"', b"null"])
def test_a_number_that_is_none_is_refused(number):
    with pytest.raises(ProtocolError, match="progress_age_s"):
        decode_reply(b'{"type":"heartbeat","progress_age_s":' + number + b"}")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_an_undefined_rate_does_not_cross_the_pipe(number):
    event = events.Tokens((), (), Baseline(number, "running", 1))
    with pytest.raises(ProtocolError, match="tokens_per_second"):
        decode_reply(encode(Happened.model_construct(id="1", event=event)))


@pytest.mark.parametrize("change", [{"temperature": -1}, {"top_p": 0}, {"max_tokens": 0}])
def test_wrong_sampling_values_do_not_reach_the_worker(change):
    wrong = SAMPLING.model_copy(update=change)
    line = encode(REQUESTS[1].model_copy(update={"sampling": wrong}))
    with pytest.raises(ProtocolError, match="sampling"):
        decode_request(line)


def test_a_text_that_is_no_unicode_cannot_be_sent():
    with pytest.raises(ProtocolError, match="cannot be sent"):
        encode(protocol.Cancel(id="\ud800"))
