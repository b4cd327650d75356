"""The order in which the app answers."""

from __future__ import annotations

from tests.backends.test_fallback import hear
from utils.backends.chain import answer_chain
from utils.engine.client import EngineClient


async def test_ollama_is_the_last_where_a_model_is_named(settings, client):
    engine = EngineClient(settings)
    assert answer_chain(settings, engine, client).name == (
        "the engine, else the engine without drafting"
    )
    named = settings.model_copy(update={"ollama_model": "demo"})
    assert answer_chain(named, engine, client).name.endswith(", else Ollama (demo)")
    assert answer_chain(named, engine, client, model="tale").name.endswith("else Ollama (tale)")


async def test_ollama_answers_with_the_context_of_the_engine(settings, server, client):
    chain = answer_chain(settings, EngineClient(settings), client, model="demo")
    assert (await hear(chain)).text.startswith("Long ago,")
    assert server.asked_of("chat")[0]["options"]["num_ctx"] == settings.context_tokens
    state = await chain.available()
    assert state.is_available
