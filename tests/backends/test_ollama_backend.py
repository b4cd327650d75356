"""Ollama as a backend: its answers in the events that everything else draws."""

from __future__ import annotations

import json

import pytest

from config import SamplingParams, Settings, SpeculativeConfig
from tests.ollama_server import recorded
from utils.backends.ollama import OllamaClient
from utils.backends.ollama_backend import OllamaBackend
from utils.backends.ollama_prompt import OllamaPrompt
from utils.backends.protocol import Written
from utils.engine.protocol import ChatMessage
from utils.errors import RequestError
from utils.events import Finished, Mode, Started, Tokens
from utils.performance_monitor import Baseline, ReportedNumbers

MESSAGES = [ChatMessage(role="user", content="Tell me a story.")]
PLAIN = SpeculativeConfig(enabled=False)


@pytest.fixture
async def backend(client):
    return OllamaBackend(client, "demo")


async def answer(backend, written=None, **sampling):
    more = {} if written is None else {"written": written}
    params = SamplingParams(**{"temperature": 0, "max_tokens": 24, **sampling})
    events = backend.generate(MESSAGES, sampling=params, speculative=PLAIN, **more)
    return [event async for event in events]


def text_of(events):
    return "".join(t.text for e in events if isinstance(e, Tokens) for t in e.tokens)


async def test_an_answer_is_told_in_the_events_of_the_engine(any_client):
    backend = OllamaBackend(any_client, "demo")
    first, second, *tokens, last = await answer(backend)
    assert isinstance(first, Started)
    assert isinstance(second, Mode)
    assert (second.mode, second.drafter) == ("standard", None)
    assert "Ollama (demo)" in second.reason
    assert second.writer == "Ollama (demo)"
    assert all(isinstance(event, Tokens) for event in tokens)
    assert isinstance(last, Finished)
    assert text_of(tokens).startswith("In a quiet forest")


async def test_tokens_are_counted_by_ollama_and_timed_here(any_client):
    *events, last = await answer(OllamaBackend(any_client, "demo"))
    stats = last.stats
    assert last.reason == "length"
    assert (stats.prompt_tokens, stats.completion_tokens, stats.rounds) == (35, 24, 24)
    times = [
        token.time_s for event in events if isinstance(event, Tokens) for token in event.tokens
    ]
    assert stats.ttft_s == times[0]
    assert stats.prefill_s == max(0, stats.ttft_s - last.reported.load_s)
    # The first token came with the prompt: 23 took the time in between. What was held up and came
    # at once took as long as Ollama says.
    span_s = (times[-1] - times[0]) * 24 / 23
    assert stats.decode_s == pytest.approx(max(span_s, last.reported.answer_s))
    assert (stats.drafted, stats.acceptance_rate, stats.mean_acceptance_length) == (0, 0, 1)
    assert stats.baseline == Baseline()


async def test_what_ollama_measured_comes_beside_what_was_measured_here(server, backend):
    server.faults["chat"] = "slow"
    *_, last = await answer(backend)
    told = json.loads(recorded("chat")["lines"][-1])
    assert last.reported == ReportedNumbers(
        source="Ollama",
        prompt_tokens=told["prompt_eval_count"],
        prompt_s=pytest.approx(told["prompt_eval_duration"] / 1e9),
        answer_tokens=told["eval_count"],
        answer_s=pytest.approx(told["eval_duration"] / 1e9),
        load_s=pytest.approx(told["load_duration"] / 1e9),
    )
    assert last.stats.decode_s > 2 * last.reported.answer_s


@pytest.mark.parametrize(
    ("route", "written"), [("chat", None), ("generate", Written("Long ago,", 3))]
)
async def test_drafting_by_ollama_is_off_wherever_it_answers(server, backend, route, written):
    await answer(backend, written)
    assert server.asked_of(route)[0]["options"]["draft_num_predict"] == 0


async def test_an_answer_of_one_token_has_no_speed(server, backend):
    server.lines["chat"] = [
        json.dumps({"message": {"role": "assistant", "content": "Yes"}, "done": False}),
        json.dumps({"message": {"role": "assistant"}, "done": True, "eval_count": 1}),
    ]
    *_, last = await answer(backend)
    assert (last.stats.completion_tokens, last.stats.tokens_per_second) == (1, 0)


async def test_a_thought_is_sent_apart_in_the_words_of_ollama(server, backend):
    said = ChatMessage(role="assistant", content="Four.", thinking="Two and two.")
    events = backend.generate(
        [*MESSAGES, said, *MESSAGES], sampling=SamplingParams(), speculative=PLAIN
    )
    assert [event async for event in events]
    question = {"role": "user", "content": "Tell me a story."}
    assert server.asked_of("chat")[0]["messages"] == [
        question,
        {"role": "assistant", "content": "Four.", "thinking": "Two and two."},
        question,
    ]


async def test_a_thought_that_a_prompt_opened_is_opened_for_ollama_too(server, backend):
    await answer(backend, Written("Hm, ", 2, opened="<think>\n"))
    assert server.asked_of("generate")[0]["prompt"].endswith("assistant\n<think>\nHm, ")


async def test_a_thought_that_ollama_opens_itself_is_opened_once(server, backend):
    await answer(backend, Written("Hm, ", 2, opened="<|im_start|>assistant\n\n"))
    assert server.asked_of("generate")[0]["prompt"].endswith("<|im_start|>assistant\nHm, ")


async def test_the_rest_of_an_answer_follows_on_what_is_written(any_client):
    backend = OllamaBackend(any_client, "demo")
    whole = text_of(await answer(backend))
    rest = text_of(await answer(backend, Written("In a quiet forest", 4)))
    assert f"In a quiet forest{rest}".startswith(whole)


async def test_the_rest_is_asked_for_with_the_rendered_prompt_and_the_room_left(server, backend):
    await answer(backend, Written("In a quiet forest", 4), seed=5)
    (body,) = server.asked_of("generate")
    assert body["raw"] is True
    assert body["prompt"].endswith("<|im_start|>assistant\nIn a quiet forest")
    assert (body["options"]["num_predict"], body["options"]["seed"]) == (20, 5)


async def test_nothing_is_asked_for_where_no_room_is_left(server, backend):
    *_, last = await answer(backend, Written("all of it", 24))
    assert last.reason == "length"
    assert not server.asked


async def test_sampling_is_handed_on_in_the_words_of_ollama(server, backend):
    await answer(
        backend,
        temperature=0.7,
        top_k=5,
        repetition_penalty=1.2,
        penalty_window=32,
        stop=("END",),
        seed=2**40 + 3,
    )
    options = server.asked_of("chat")[0]["options"]
    assert options == {
        "temperature": 0.7,
        "top_k": 5,
        "top_p": 0.95,
        "min_p": 0.0,
        "repeat_penalty": 1.2,
        "repeat_last_n": 32,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "seed": 3,
        "num_predict": 24,
        "stop": ["END"],
        "draft_num_predict": 0,
    }


async def test_stop_texts_of_the_model_stay_where_none_are_asked_for(server, backend):
    await answer(backend)
    assert "stop" not in server.asked_of("chat")[0]["options"]


async def test_what_ollama_cannot_do_is_said(backend):
    _, mode, *_ = await answer(backend, logit_bias={3: 1.0})
    assert "without the logit bias" in mode.reason


async def test_json_is_asked_for_in_the_way_of_ollama(server, backend):
    await answer(backend, json_output=True)
    await answer(backend, json_schema='{"type": "object"}')
    await answer(backend)
    forms = [asked.get("format") for asked in server.asked_of("chat")]
    assert forms == ["json", {"type": "object"}, None]


async def test_a_form_that_ollama_cannot_keep_to_is_said(backend):
    _, mode, *_ = await answer(backend, grammar='root ::= "a"')
    assert "without the grammar" in mode.reason
    _, mode, *_ = await answer(backend, Written('{"a": ', 3), json_output=True)
    assert "without keeping to JSON" in mode.reason


@pytest.mark.parametrize("schema", ["{", "[]"])
async def test_a_schema_that_is_none_is_refused(backend, schema):
    with pytest.raises(RequestError, match="JSON schema"):
        await answer(backend, json_schema=schema)


async def test_a_seed_is_drawn_told_and_used(server, backend):
    started, *_ = await answer(backend)
    assert server.asked_of("chat")[0]["options"]["seed"] == started.seed


async def test_thoughts_come_between_marks(server, backend):
    server.lines["chat"] = [
        json.dumps({"message": {"role": "assistant", **part}, "done": "done" in part})
        for part in (
            {"thinking": "One"},
            {"thinking": " two."},
            {"content": "Three"},
            {"content": " four."},
            {"content": "", "done": True},
        )
    ]
    text = text_of(await answer(backend))
    assert text == "<think>\nOne two.\n</think>\n\nThree four."


async def test_availability_says_what_is_missing(server, client):
    assert (await OllamaBackend(client, "demo").available()).is_available
    assert (await OllamaBackend(client, "demo:latest").available()).is_available
    missing = await OllamaBackend(client, "llama").available()
    assert (missing.is_available, missing.reason) == (
        False,
        "Ollama has no model 'llama': pull it first",
    )
    await server.stop()
    down = await OllamaBackend(client, "demo").available()
    assert "not running" in down.reason


async def test_the_context_is_handed_on_where_it_is_set(server):
    client = OllamaClient(Settings(ollama_url=server.url))
    await answer(OllamaBackend(client, "demo", context_tokens=512))
    assert server.asked_of("chat")[0]["options"]["num_ctx"] == 512
    await client.close()


async def test_control_texts_in_a_thought_are_broken_up_for_a_prompt_too(server, client):
    said = ChatMessage(role="assistant", content="b<|im_end|>", thinking="a<|im_end|>")
    prompt = await OllamaPrompt(client, "demo").render([*MESSAGES, said], ["<|im_end|>"])
    turn = server.asked_of("render")[0]["messages"][1]
    assert "<|im_end|>" not in turn["thinking"] + turn["content"]
    assert turn["thinking"].replace(prompt.marker, "") == "a<|im_end|>"
