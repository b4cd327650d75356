"""The test server with a model behind it: it writes what the engine, and a real Ollama, would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from config import SamplingParams, Settings
from tests.backends.conftest import REAL_URL
from tests.engine.conftest import ask
from tests.ollama_model import OllamaModel
from tests.ollama_server import OllamaServer
from utils.backends.ollama import OllamaClient
from utils.backends.ollama_records import OllamaPiece
from utils.engine.client import EngineClient
from utils.errors import OllamaAnswerError, OllamaUnavailableError

SYSTEM = {"role": "system", "content": "You are a story writer.\nYou write short stories."}
MESSAGES = [SYSTEM, {"role": "user", "content": "Tell me a story."}]
GREEDY = {"temperature": 0, "num_predict": 60}


@pytest.fixture(scope="module")
def model() -> Iterator[OllamaModel]:
    model = OllamaModel()
    yield model
    model.close()


@pytest.fixture
async def server(model: OllamaModel) -> AsyncIterator[OllamaServer]:
    async with OllamaServer(model=model) as running:
        yield running


async def whole(pieces: AsyncIterator[OllamaPiece]) -> tuple[str, OllamaPiece]:
    """Return the text of an answer, and its last piece."""
    every = [piece async for piece in pieces]
    return "".join(piece.text for piece in every), every[-1]


async def test_it_writes_what_the_engine_writes(client: OllamaClient) -> None:
    engine = EngineClient(Settings(_env_file=None, threads=1, batch_threads=1, context_tokens=1024))
    try:
        await engine.open()
        heard = await ask(engine, "Tell me a story.", SamplingParams(temperature=0, max_tokens=60))
    finally:
        await engine.close()
    text, last = await whole(client.chat("demo", [MESSAGES[1]], GREEDY))
    assert text == heard.text
    assert last.numbers is not None
    assert last.numbers.answer_tokens == heard.finished.stats.completion_tokens
    assert last.numbers.prompt_tokens == heard.started.prompt_tokens


@pytest.mark.skipif(not REAL_URL, reason="OLLAMA_TEST_URL names no real server")
@pytest.mark.parametrize("tokens", [24, 300])
async def test_it_writes_what_a_real_server_writes(client: OllamaClient, tokens: int) -> None:
    real = OllamaClient(Settings(_env_file=None, ollama_url=REAL_URL))
    options = {**GREEDY, "num_predict": tokens}
    try:
        expected, end = await whole(real.chat("demo", MESSAGES, options))
        prompt = await real.render("demo", MESSAGES)
    finally:
        await real.close()
    text, last = await whole(client.chat("demo", MESSAGES, options))
    assert text == expected
    assert await client.render("demo", MESSAGES) == prompt
    assert last.numbers is not None
    assert end.numbers is not None
    assert last.numbers.reason == end.numbers.reason
    assert last.numbers.answer_tokens == end.numbers.answer_tokens
    assert last.numbers.prompt_tokens == end.numbers.prompt_tokens


@pytest.mark.parametrize("options", [GREEDY, {"temperature": 0.8, "num_predict": 60, "seed": 5}])
async def test_it_goes_on_with_its_own_words(
    client: OllamaClient, options: dict[str, float]
) -> None:
    text, _ = await whole(client.chat("demo", MESSAGES, options))
    prompt = await client.render("demo", MESSAGES)
    begun = " ".join(text.split(" ")[:20])
    rest, _ = await whole(client.generate("demo", prompt + begun, options))
    assert (begun + rest).startswith(text)


async def test_it_stops_where_it_is_told_to(client: OllamaClient) -> None:
    text, _ = await whole(client.chat("demo", MESSAGES, GREEDY))
    word = text.split(" ")[10]
    cut, last = await whole(client.chat("demo", MESSAGES, {**GREEDY, "stop": [f" {word}"]}))
    assert cut == text.partition(f" {word}")[0]
    assert last.numbers is not None
    assert last.numbers.reason == "stop"


async def test_it_answers_others_while_it_writes(client: OllamaClient) -> None:
    long = {"temperature": 5, "num_predict": 100_000, "seed": 1}
    writing = asyncio.create_task(whole(client.chat("demo", MESSAGES, long)))
    answers = 0
    while not writing.done():
        answers += bool(await client.version())
    _, last = await writing
    assert last.numbers is not None
    assert last.numbers.answer_tokens > 60
    assert answers > 10


async def test_it_breaks_in_the_middle_like_any_other(
    server: OllamaServer, client: OllamaClient
) -> None:
    text, _ = await whole(client.chat("demo", MESSAGES, GREEDY))
    server.faults_once["chat"] = "cut off"
    pieces: list[str] = []

    async def listen() -> None:
        async for piece in client.chat("demo", MESSAGES, GREEDY):
            pieces.append(piece.text)

    with pytest.raises(OllamaUnavailableError):
        await listen()
    heard = "".join(pieces)
    assert 20 < len(heard) < len(text) - 20
    assert text.startswith(heard)


async def test_models_come_with_a_pull_and_go_when_deleted(
    server: OllamaServer, client: OllamaClient
) -> None:
    async def names() -> set[str]:
        return {model.name for model in await client.list()}

    server.faults_once["pull"] = "disk full"
    with pytest.raises(OllamaAnswerError):
        [step async for step in client.pull("story")]
    assert "story:latest" not in await names()
    assert [step async for step in client.pull("story")][-1].status == "success"
    assert "story:latest" in await names()
    assert (await whole(client.chat("story", MESSAGES, GREEDY)))[0]
    assert "story:latest" in {running.name for running in await client.ps()}
    await client.unload("story")
    assert not await client.ps()
    await client.delete("story")
    assert "story:latest" not in await names()
    with pytest.raises(OllamaAnswerError, match="not found"):
        await whole(client.chat("story", MESSAGES, GREEDY))
