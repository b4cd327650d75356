"""Ollama's client: the same against recorded answers and against a real server."""

from __future__ import annotations

import asyncio

import pytest

from config import ModelOptions, Settings
from tests.backends.record_ollama import MESSAGES
from tests.ollama_server import OllamaServer, recorded
from utils.backends.modelfile import parse_modelfile
from utils.backends.ollama import OllamaClient
from utils.draft_models import EMBEDDED_TARGET
from utils.engine.protocol import ChatMessage
from utils.errors import OllamaAnswerError
from utils.llama.chat_prompt import encode_chat, template_for
from utils.llama.model import LlamaModel

GREEDY = {"temperature": 0, "num_predict": 24}
STORY = "In a quiet forest lived a fisher. The name of the fisher was"


async def text_of(pieces):
    return "".join([piece.text async for piece in pieces])


async def test_the_version_is_told(any_client):
    assert (await any_client.version())[0].isdigit()


async def test_installed_models_are_listed_with_their_sizes(any_client):
    models = {model.name: model for model in await any_client.list()}
    assert {"demo:latest", "demo-draft:latest"} <= set(models)
    model = models["demo:latest"]
    assert model.size_bytes > 10**6
    assert (model.family, model.quantization, len(model.digest)) == ("llama", "F16", 64)


async def test_a_model_is_shown_with_its_modelfile(any_client):
    details = await any_client.show("demo")
    modelfile = parse_modelfile(details.modelfile)
    assert "/blobs/sha256-" in modelfile.sources[0]
    assert modelfile.system == "You are a story writer.\nYou write short stories."
    assert details.architecture == "llama"
    assert "completion" in details.capabilities


async def test_a_model_that_is_not_there_is_named_with_what_to_do(any_client):
    with pytest.raises(OllamaAnswerError, match=r"'missing.*' not found; pull the model") as caught:
        await any_client.show("missing")
    assert caught.value.status == 404
    with pytest.raises(OllamaAnswerError, match="not found"):
        await text_of(any_client.chat("missing", MESSAGES, GREEDY))


async def test_an_answer_comes_in_pieces_and_ends_with_numbers(any_client):
    pieces = [piece async for piece in any_client.chat("demo", MESSAGES, GREEDY)]
    assert "".join(piece.text for piece in pieces).startswith(STORY)
    assert len(pieces) > 10
    assert all(piece.numbers is None for piece in pieces[:-1])
    numbers = pieces[-1].numbers
    assert (numbers.reason, numbers.answer_tokens, numbers.prompt_tokens) == ("length", 24, 35)
    assert 0 < numbers.answer_s < numbers.total_s


async def test_a_rendered_prompt_can_be_gone_on_with_from_any_text(any_client):
    prompt = await any_client.render("demo", MESSAGES)
    assert prompt.endswith("<|im_start|>user\nTell me a story.<|im_end|>\n<|im_start|>assistant\n")
    whole = await text_of(any_client.chat("demo", MESSAGES, GREEDY))
    rest = await text_of(any_client.generate("demo", f"{prompt}In a quiet forest", GREEDY))
    assert f"In a quiet forest{rest}".startswith(whole)


async def test_ollama_and_the_engine_make_the_same_prompt_of_a_conversation(any_client):
    rendered = await any_client.render("demo", MESSAGES)
    turns = [
        ChatMessage(role="system", content="You are a story writer.\nYou write short stories."),
        *(ChatMessage(**message) for message in MESSAGES),
    ]
    with LlamaModel.open(EMBEDDED_TARGET, ModelOptions(context_tokens=64), max_rows=1) as model:
        template = template_for(model.chat_template, model.vocabulary)
        ours = encode_chat(model.vocabulary, template, turns)
        assert ours == model.vocabulary.tokenize(rendered, parse_special=True)


async def test_a_model_that_answered_is_in_memory_until_it_is_unloaded(any_client):
    await text_of(any_client.chat("demo", MESSAGES, GREEDY))
    (running,) = (model for model in await any_client.ps() if model.name == "demo:latest")
    assert running.size_bytes > 10**6
    await any_client.unload("demo")
    # The real server unloads after it has answered.
    for _ in range(100):
        if "demo:latest" not in {model.name for model in await any_client.ps()}:
            return
        await asyncio.sleep(0.05)
    pytest.fail("still in memory")


async def test_a_model_is_copied_and_deleted(any_client):
    await any_client.copy("demo", "demo-copy")
    assert "demo-copy:latest" in {model.name for model in await any_client.list()}
    await any_client.delete("demo-copy")
    assert "demo-copy:latest" not in {model.name for model in await any_client.list()}


async def test_a_download_tells_how_far_it_is(client):
    steps = [step async for step in client.pull("demo")]
    done = [step.done_bytes for step in steps if step.total_bytes]
    assert done == sorted(done)
    assert steps[-1].status == "success"
    assert steps[-1].done_bytes == steps[-1].total_bytes
    assert 0 < steps[3].done_bytes < steps[3].total_bytes == 22762144


async def test_a_download_that_is_left_is_stopped_at_the_server(server, client):
    server.faults["pull"] = "silent midway"
    progress = client.pull("demo")
    await anext(progress)
    await progress.aclose()
    await asyncio.wait_for(server.hung_up.wait(), 5)


async def test_an_answer_that_is_left_is_stopped_at_the_server(server, client):
    server.faults["chat"] = "silent midway"
    pieces = client.chat("demo", MESSAGES, GREEDY)
    await anext(pieces)
    await pieces.aclose()
    await asyncio.wait_for(server.hung_up.wait(), 5)


async def test_drafting_by_ollama_is_always_off(server, client):
    await text_of(client.chat("demo", MESSAGES, {"draft_num_predict": 4}))
    await text_of(client.generate("demo", "x", {}))
    await client.render("demo", MESSAGES)
    bodies = [asked.body["options"] for asked in server.asked]
    assert [options["draft_num_predict"] for options in bodies] == [0, 0, 0]


async def test_nothing_but_the_server_of_the_settings_is_asked_with_a_key(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with OllamaServer() as running:
        client = OllamaClient(Settings(ollama_url=running.url))
        assert await client.version() == recorded("version")["server"].split()[1]
        await client.close()


async def test_thoughts_of_a_model_that_thinks_are_no_part_of_its_answer(any_client):
    pieces = [piece async for piece in any_client.chat("demo-thinker", MESSAGES, GREEDY)]
    assert len("".join(piece.thinking for piece in pieces)) > 20
    assert not any(piece.text for piece in pieces)


async def test_thoughts_and_words_follow_each_other(server, client):
    server.lines["chat"] = [
        '{"message":{"role":"assistant","content":"","thinking":"Hm."},"done":false}',
        '{"message":{"role":"assistant","content":"Yes."},"done":false}',
        '{"message":{"role":"assistant","content":""},"done":true}',
    ]
    pieces = [piece async for piece in client.chat("demo", MESSAGES, {})]
    assert [(piece.thinking, piece.text) for piece in pieces[:2]] == [("Hm.", ""), ("", "Yes.")]


async def test_a_line_break_that_json_allows_in_a_text_stays_in_it(server, client):
    server.lines["chat"] = [
        '{"message":{"role":"assistant","content":"a\x85b"},"done":false}',
        '{"message":{"role":"assistant","content":""},"done":true}',
    ]
    assert await text_of(client.chat("demo", MESSAGES, {})) == "a\x85b"


async def test_an_answer_that_broke_before_its_first_word_is_asked_for_again(server, client):
    server.faults_once["chat"] = "no answer"
    assert (await text_of(client.chat("demo", MESSAGES, GREEDY))).startswith(STORY)
    assert len(server.asked_of("chat")) == 2


async def test_an_answer_that_broke_later_is_not_asked_for_again(server, client):
    server.faults_once["chat"] = "cut off"
    with pytest.raises(Exception, match="broke"):
        await text_of(client.chat("demo", MESSAGES, GREEDY))
    assert len(server.asked_of("chat")) == 1
