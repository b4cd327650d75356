"""Ollama servers: ours, that fails on demand, and a real one where `OLLAMA_TEST_URL` names it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from config import Settings
from tests.ollama_server import OllamaServer
from utils.backends.ollama import OllamaClient


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
