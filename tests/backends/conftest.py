"""Ollama servers: ours, that fails on demand, and a real one where `OLLAMA_TEST_URL` names it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from config import Settings
from tests.ollama_server import OllamaServer
from tests.tiny_gguf import write_tiny_pair
from utils.backends import ollama
from utils.backends.ollama import OllamaClient


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take its time: a server that is down refuses at once anyway."""
    monkeypatch.setattr(ollama, "CONNECT_TIMEOUT_S", 60)


@pytest.fixture(autouse=True)
def _workers_at_full_speed(unmeasured_children: None) -> None:
    """The worker has tests of its own, in `tests/engine`, which measure coverage in it."""


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    async with OllamaServer() as running:
        yield running


@pytest.fixture
async def client(server: OllamaServer) -> AsyncIterator[OllamaClient]:
    client = OllamaClient(Settings(ollama_url=server.url))
    yield client
    await client.close()


REAL_URL = os.environ.get("OLLAMA_TEST_URL", "")


@pytest.fixture(params=["recorded", "real"] if REAL_URL else ["recorded"])
async def any_client(request: pytest.FixtureRequest) -> AsyncIterator[OllamaClient]:
    """A client of our server, and one of a real server with the models of `record_ollama.py`."""
    if request.param == "recorded":
        async with OllamaServer() as running:
            client = OllamaClient(Settings(ollama_url=running.url))
            yield client
            await client.close()
        return
    client = OllamaClient(Settings(ollama_url=REAL_URL))
    yield client
    await client.unload("demo")
    await client.close()


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of an engine with a target that never ends, and a draft that often agrees."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_pair(folder, context=4096)
    return Settings(
        target_model="target",
        model_folders=(folder,),
        context_tokens=4096,
        threads=1,
        batch_threads=1,
        # With it a pass over several tokens rounds as passes over one do: texts are equal.
        flash_attention="on",
        cache_folder=tmp_path_factory.mktemp("cache"),
    )
