"""Ollama as a backend: its answers in the events that everything else draws."""

from __future__ import annotations

import json

import pytest

from config import SamplingParams, Settings, SpeculativeConfig
from utils.backends.ollama import OllamaClient
from utils.backends.ollama_backend import OllamaBackend
from utils.backends.protocol import Written
from utils.engine.protocol import ChatMessage
from utils.events import Finished, Mode, Started, Tokens

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
    assert all(isinstance(event, Tokens) for event in tokens)
    assert isinstance(last, Finished)
    assert text_of(tokens).startswith("Long ago,")


async def test_the_numbers_at_the_end_are_those_of_ollama(any_client):
    *_, last = await answer(OllamaBackend(any_client, "demo"))
    stats = last.stats
    assert last.reason == "length"
    assert (stats.prompt_tokens, stats.completion_tokens, stats.rounds) == (35, 24, 24)
    assert stats.decode_s > 0
    assert stats.prefill_s > 0
    assert stats.tokens_per_second == pytest.approx(24 / stats.decode_s)
    assert (stats.drafted, stats.acceptance_rate, stats.mean_acceptance_length) == (0, 0, 1)


async def test_the_rest_of_an_answer_follows_on_what_is_written(any_client):
    backend = OllamaBackend(any_client, "demo")
    whole = text_of(await answer(backend))
    rest = text_of(await answer(backend, Written("Long ago,", 3)))
    assert f"Long ago,{rest}".startswith(whole)


async def test_the_rest_is_asked_for_with_the_rendered_prompt_and_the_room_left(server, backend):
    await answer(backend, Written("Long ago,", 3), seed=5)
    (body,) = server.asked_of("generate")
    assert body["raw"] is True
    assert body["prompt"].endswith("<|im_start|>assistant\nLong ago,")
    assert (body["options"]["num_predict"], body["options"]["seed"]) == (21, 5)


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
