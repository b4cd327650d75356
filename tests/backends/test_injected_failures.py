"""Failures inside the real worker, at every stage of an answer: it is completed all the same.

Target, draft and the model behind the Ollama server are the embedded pair, and greedy: so there is
not only an answer, it is the one that nothing had disturbed.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from config import SamplingParams, Settings, SpeculativeConfig
from tests.engine.conftest import Heard, user
from tests.engine.faulty_worker import Fault, Stage
from tests.ollama_model import OllamaModel
from tests.ollama_server import OllamaServer
from utils.backends.ollama import OllamaClient
from utils.backends.router import AnswerRouter
from utils.engine.client import EngineClient
from utils.engine.process import WORKER_COMMAND
from utils.events import Finished, Mode

LIMIT_S = 60
GREEDY = SamplingParams(temperature=0, max_tokens=60)
RANDOM = SamplingParams(temperature=0.8, max_tokens=60, seed=3)
SPECULATIVE = SpeculativeConfig(draft_length="fixed", acceptance_threshold=0)
# So many passes go well first, in each worker: enough for some text, too few for all of it.
PASSES: dict[Stage, int] = {"load": 0, "draft load": 0, "prefill": 0, "draft": 12, "verify": 6}
STAGES: tuple[Stage, ...] = ("prefill", "draft", "verify")
ENDS: dict[Fault, str] = {
    "killed": "killed by SIGKILL",
    "aborted": "killed by SIGABRT",
    "invalid numbers": "invalid values",
    "no memory": "code -2",
    "no memory for Python": "MemoryError",
}
HANGS: tuple[Fault, ...] = ("stopped", "hangs", "hangs with the interpreter")


@pytest.fixture(scope="module")
def model() -> Iterator[OllamaModel]:
    model = OllamaModel()
    yield model
    model.close()


@pytest.fixture
async def server(model: OllamaModel) -> AsyncIterator[OllamaServer]:
    async with OllamaServer(model=model) as running:
        yield running


@pytest.fixture
def settings(server: OllamaServer) -> Settings:
    return Settings(
        _env_file=None,
        ollama_url=server.url,
        ollama_model="demo",
        context_tokens=1024,
        threads=1,
        batch_threads=1,
    )


async def answer(
    settings: Settings, command: tuple[str, ...], sampling: SamplingParams = GREEDY
) -> Heard:
    """Return all that the app hears that asks a question, its workers started by `command`."""
    heard = Heard()
    engine, ollama = EngineClient(settings, command=command), OllamaClient(settings)
    try:
        await engine.open()
        events = AnswerRouter(settings, engine, ollama).generate(
            user("Tell me a story."), sampling=sampling, speculative=SPECULATIVE
        )
        async with asyncio.timeout(LIMIT_S), aclosing(events):
            async for event in events:
                heard.events.append(event)
    finally:
        await engine.close()
        await ollama.close()
    return heard


def faulty(fault: Fault, stage: Stage) -> tuple[str, ...]:
    """Return the command of workers that all fail."""
    return (
        sys.executable,
        "-m",
        "tests.engine.faulty_worker",
        fault,
        stage,
        str(PASSES[stage]),
    )


_undisturbed: dict[float, Heard] = {}


async def undisturbed(settings: Settings, sampling: SamplingParams = GREEDY) -> Heard:
    """Return the answer of an engine that works."""
    if sampling.temperature not in _undisturbed:
        heard = await answer(settings, WORKER_COMMAND, sampling)
        assert heard.mode.mode == "speculative"
        assert len(heard.all(Mode)) == 1
        _undisturbed[sampling.temperature] = heard
    return _undisturbed[sampling.temperature]


def assert_complete(heard: Heard, whole: Heard, words: str) -> None:
    """Check that an answer is the `whole` one, and that its reasons hold `words`."""
    assert heard.text == whole.text
    assert len(heard.all(Finished)) == 1
    assert heard.finished.reason == whole.finished.reason
    assert heard.finished.stats.completion_tokens == whole.finished.stats.completion_tokens
    assert heard.mode.mode == "standard"
    assert re.search(words, " ".join(mode.reason for mode in heard.all(Mode)))


def assert_written_by(server: OllamaServer, heard: Heard, stage: Stage) -> None:
    """Check that Ollama had to do what no worker could, and went on with what was heard."""
    asked = len(server.asked_of("chat")), len(server.asked_of("generate"))
    expected = {"load": (1, 0), "prefill": (1, 0), "verify": (0, 1)}
    assert asked == expected.get(stage, (0, 0))
    for body in server.asked_of("generate"):
        begun = body["prompt"].rpartition("assistant\n")[2]
        assert heard.text.startswith(begun)
        assert 0 < len(begun) < len(heard.text)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", ENDS)
async def test_an_answer_is_completed_where_the_worker_fails(
    server: OllamaServer, settings: Settings, fault: Fault, stage: Stage
) -> None:
    heard = await answer(settings, faulty(fault, stage))
    assert_complete(heard, await undisturbed(settings), ENDS[fault])
    assert_written_by(server, heard, stage)


@pytest.mark.parametrize("fault", HANGS)
async def test_an_answer_is_completed_where_the_worker_hangs(
    model: OllamaModel, settings: Settings, fault: Fault
) -> None:
    whole = await undisturbed(settings)

    async def check(stage: Stage) -> None:
        async with OllamaServer(model=model) as server:
            changes = {"ollama_url": server.url, "stall_timeout_s": 1.0}
            heard = await answer(settings.model_copy(update=changes), faulty(fault, stage))
            assert_complete(heard, whole, "no progress")
            # An engine that hung is not waited for again, whatever hung in it.
            assert_written_by(server, heard, "verify" if stage == "draft" else stage)

    # Together, as they do nothing but wait.
    async with asyncio.TaskGroup() as group:
        for stage in STAGES:
            group.create_task(check(stage))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the address space")
@pytest.mark.parametrize("stage", ["load", "draft load"])
async def test_an_answer_is_completed_where_a_model_finds_no_memory(
    server: OllamaServer, settings: Settings, stage: Stage
) -> None:
    heard = await answer(settings, faulty("no memory", stage))
    assert_complete(heard, await undisturbed(settings), "memory|GGML_ASSERT")
    assert_written_by(server, heard, stage)


@pytest.mark.parametrize("fault", ["killed", "invalid numbers"])
async def test_with_its_seed_a_random_answer_is_completed_as_it_would_have_been(
    server: OllamaServer, settings: Settings, fault: Fault
) -> None:
    heard = await answer(settings, faulty(fault, "verify"), RANDOM)
    assert_complete(heard, await undisturbed(settings, RANDOM), ENDS[fault])
    assert_written_by(server, heard, "verify")
    assert heard.text != (await undisturbed(settings)).text
