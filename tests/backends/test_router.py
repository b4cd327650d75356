"""Who answers with a model, and with what prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from config import Settings
from tests.engine.conftest import Heard, greedy, user
from tests.tiny_gguf import write_tiny_gguf, write_tiny_pair
from utils.backends.protocol import ModelChoice, Written
from utils.backends.router import AnswerRouter
from utils.engine.client import EngineClient
from utils.engine.protocol import ChatMessage
from utils.errors import BackendError, RequestError
from utils.llama.probe import probe_folder, probe_model

SPECULATIVE_TARGET = ModelChoice("target")


def store_model(store: Path, name: str, weights: bytes, **layers: str) -> None:
    """Put a model into a store of Ollama, as a pull would."""

    def blob(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (store / "blobs").mkdir(parents=True, exist_ok=True)
        (store / "blobs" / f"sha256-{digest}").write_bytes(data)
        return f"sha256:{digest}"

    kinds = {"model": weights, **{kind: text.encode() for kind, text in layers.items()}}
    manifest = {
        "layers": [
            {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": blob(data)}
            for kind, data in kinds.items()
        ]
    }
    place = store / "manifests" / "registry.ollama.ai" / "library" / name / "latest"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(manifest))


@pytest.fixture
def store(tmp_path) -> Path:
    """A store with `demo`, as our server of Ollama has it, and `demo-draft`, which is broken."""
    store = tmp_path / "store"
    weights = write_tiny_gguf(tmp_path / "demo.gguf", chat_template=None).read_bytes()
    store_model(store, "demo", weights, system="Be brief.", params='{"num_ctx": 128}')
    store_model(store, "demo-draft", b"GGUF" + bytes(99))
    return store


@pytest.fixture
def settings(store, tmp_path, server) -> Settings:
    folder = tmp_path / "models"
    folder.mkdir()
    write_tiny_pair(folder)
    return Settings(
        _env_file=None,
        target_model="target",
        model_folders=(folder,),
        ollama_url=server.url,
        ollama_store=store,
        threads=1,
        batch_threads=1,
        cache_folder=tmp_path / "cache",
    )


@pytest.fixture
async def engine(settings):
    engine = EngineClient(settings)
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture
def router(settings, engine, client) -> Iterator[AnswerRouter]:
    return AnswerRouter(settings, engine, client)


async def hear(router: AnswerRouter, model: ModelChoice, messages=None, tokens=8) -> Heard:
    heard = Heard()
    answer = router.generate(
        messages or user("Tell me a story."),
        model=model,
        sampling=greedy(tokens),
        speculative=router._settings.speculative,
    )
    async with aclosing(answer):
        async for event in answer:
            heard.events.append(event)
    return heard


def names(router, model):
    return [backend.name for backend in router.route(model).backends]


async def test_a_model_of_ollama_is_answered_by_the_engine_then_by_ollama(router):
    assert names(router, ModelChoice("demo")) == [
        "the engine",
        "the engine without drafting",
        "Ollama (demo)",
    ]


async def test_ollama_answers_where_it_is_chosen_and_the_engine_stands_in(router, server):
    choice = ModelChoice("demo", "ollama")
    assert names(router, choice) == ["Ollama (demo)", "the engine without drafting"]
    assert (await hear(router, choice)).mode.reason.startswith("chosen for this model")
    server.faults["chat"] = "no answer"
    stood_in = await hear(router, choice)
    assert "Ollama (demo) failed" in stood_in.mode.reason
    assert len(stood_in.tokens) == 8


async def test_a_file_that_the_engine_cannot_read_is_answered_by_ollama_with_the_reason(router):
    heard = await hear(router, ModelChoice("demo-draft"))
    assert heard.text
    assert heard.mode.mode == "standard"
    assert heard.mode.reason.startswith("cannot speculate: model file has GGUF version 0")
    assert "demo-draft:latest" in heard.mode.reason


async def test_a_kept_verdict_spares_the_engine(router, settings, store, tmp_path):
    sick = write_tiny_gguf(tmp_path / "sick.gguf", nan=True)
    store_model(store, "sick", sick.read_bytes())
    assert len(router.route(ModelChoice("sick")).backends) == 3
    path = router._find("sick").path
    probe_model(path, cache_folder=probe_folder(settings))
    route = router.route(ModelChoice("sick"))
    assert [backend.name for backend in route.backends] == ["Ollama (sick)"]
    assert route.reason.startswith("cannot speculate: model computes invalid numbers")


async def test_a_model_that_only_ollama_has_is_answered_there(router, server):
    server.models.add("elsewhere:latest")
    heard = await hear(router, ModelChoice("elsewhere"))
    assert "its file is not on this machine" in heard.mode.reason


async def test_a_model_that_nobody_has_is_an_error_that_says_what_to_do(router, server):
    server.faults["chat"] = "status 404"
    with pytest.raises(BackendError, match="pull the model first"):
        await hear(router, ModelChoice("nowhere"))


async def test_a_file_in_a_folder_falls_back_to_the_model_of_the_settings(settings, engine, client):
    router = AnswerRouter(settings, engine, client)
    assert len(router.route(SPECULATIVE_TARGET).backends) == 2
    named = AnswerRouter(settings.model_copy(update={"ollama_model": "demo"}), engine, client)
    assert names(named, SPECULATIVE_TARGET)[-1] == "Ollama (demo)"


async def test_without_a_choice_the_target_of_the_settings_answers(router, engine):
    await hear(router, ModelChoice())
    assert engine.health.model.name == "target"


async def test_while_the_target_of_the_settings_is_missing_the_embedded_one_answers(
    settings, engine, client
):
    missing = settings.model_copy(update={"target_model": "llama3.2:3b"})
    heard = await hear(AnswerRouter(missing, engine, client), ModelChoice())
    assert heard.tokens
    assert "llama3.2:3b is not installed" in heard.mode.reason
    assert engine.health.model.name == "embedded"


async def test_the_engine_takes_the_model_that_is_asked_for(router, engine):
    for name, context_tokens in (("demo", 128), ("target", 512), ("demo:latest", 128)):
        heard = await hear(router, ModelChoice(name))
        assert len(heard.tokens) == 8
        assert engine.health.model.name == ("demo:latest" if "demo" in name else name)
        assert engine.health.model.context_tokens == context_tokens


async def test_ollama_gets_the_context_of_the_engine(router, server):
    await hear(router, ModelChoice("demo", "ollama"))
    assert server.asked_of("chat")[0]["options"]["num_ctx"] == 128


async def test_a_conversation_without_a_system_prompt_gets_that_of_the_model(router, server):
    for messages, expected in (
        (user("Hello."), "Be brief."),
        ([ChatMessage(role="system", content="Rhyme."), *user("Hello.")], "Rhyme."),
    ):
        server.asked.clear()
        await hear(router, ModelChoice("demo", "ollama"), messages)
        sent = server.asked_of("chat")[0]["messages"]
        assert [turn["content"] for turn in sent if turn["role"] == "system"] == [expected]


async def test_a_model_without_a_template_gets_the_prompt_that_ollama_makes(router, server):
    heard = await hear(router, ModelChoice("demo"))
    (asked,) = list(server.asked_of("render"))
    assert asked["messages"][-1]["content"] == "Tell me a story."
    assert heard.mode.reason == "" or "common form" not in heard.mode.reason
    with_template = await hear(router, ModelChoice("target"))
    assert with_template.tokens
    assert len(server.asked_of("render")) == 1


async def test_without_ollama_such_a_model_gets_a_common_prompt_and_says_so(router, server):
    server.faults["render"] = "no answer"
    heard = await hear(router, ModelChoice("demo"))
    assert len(heard.tokens) == 8
    assert "the prompt has a common form" in heard.mode.reason


async def test_a_look_at_an_answer_is_one_at_the_prompt_that_was_answered(router):
    heard = await hear(router, ModelChoice("demo"))
    written = [token.token_id for token in heard.tokens]
    found = await router.inspect(
        user("Tell me a story."),
        written_ids=written[:5],
        candidates=(written[5],),
        model=ModelChoice("demo"),
    )
    assert found.prompt_tokens == heard.started.prompt_tokens + 5
    assert found.candidates == (found.top,)


async def test_what_only_ollama_can_read_cannot_be_looked_at(router):
    with pytest.raises(RequestError, match="cannot be looked at: cannot speculate"):
        await router.inspect(
            user("Hello."), written_ids=(), candidates=(1,), model=ModelChoice("demo-draft")
        )


async def test_ollama_goes_on_with_an_answer_that_has_begun(router, server):
    whole = await hear(router, ModelChoice("demo", "ollama"))
    begun = Written("Once", 1)
    heard = Heard()
    events = router.generate(
        user("Tell me a story."),
        model=ModelChoice("demo", "ollama"),
        sampling=greedy(8),
        speculative=router._settings.speculative,
        written=begun,
    )
    async with aclosing(events):
        async for event in events:
            heard.events.append(event)
    assert server.asked_of("generate")[0]["prompt"].endswith("Once")
    assert server.asked_of("generate")[0]["options"]["num_predict"] == 7
    assert heard.started.context_tokens == whole.started.context_tokens == 128
    assert heard.started.model == "demo"
