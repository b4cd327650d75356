"""The worker dies, hangs or talks nonsense: one answer fails with the reason, the next works."""

import asyncio
import os
import signal
import sys
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest

from config import Settings
from tests.engine.conftest import (
    CONTEXT,
    LIMIT_S,
    PLAIN,
    Heard,
    ask,
    greedy,
    long_prompt,
    make_settings,
    user,
)
from utils.engine import supervisor
from utils.engine.answer import Answer
from utils.engine.client import EngineClient
from utils.engine.health import EngineHealth
from utils.errors import (
    EngineCrashedError,
    EngineError,
    EngineStalledError,
    ModelFileError,
    ModelLoadError,
    RequestError,
    SpecChatError,
)
from utils.events import Tokens

pytestmark = pytest.mark.usefixtures("unmeasured_children")

READY = '{"type":"ready","pid":1,"llama_cpp_version":"","system_info":"","has_gpu":false}'


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def fake_worker(body: str) -> tuple[str, ...]:
    """A program in the worker's place: says that it is ready, then runs `body`."""
    return (sys.executable, "-c", f"import signal, sys\nprint('{READY}', flush=True)\n{body}")


async def answer_until_struck(client: EngineClient, number: signal.Signals) -> SpecChatError:
    """Send a signal to the worker in the middle of an answer and return what the reader gets."""
    heard = Heard()
    task = asyncio.create_task(ask(client, "go on", greedy(8000), heard=heard))
    await client.wait_until(lambda _: bool(heard.tokens), timeout_s=LIMIT_S)
    pid = client.health.pid
    assert pid is not None
    os.kill(pid, number)
    with pytest.raises(EngineError) as caught:
        await task
    await client.wait_until(lambda health: health.pid not in (pid, None), timeout_s=LIMIT_S)
    assert is_gone(pid)
    return caught.value


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT"])
async def test_a_worker_killed_in_an_answer_fails_it_by_name_and_the_next_answer_is_right(
    client: EngineClient, name: str
):
    before = await ask(client, "hello")
    error = await answer_until_struck(client, signal.Signals[name])
    assert isinstance(error, EngineCrashedError)
    assert str(error).startswith(f"the engine was killed by {name}")
    after = await ask(client, "hello")
    assert after.text == before.text
    assert client.health.restarts == 1
    assert after.started.baseline.tokens_per_second > 0


async def test_the_next_worker_gets_the_target_that_was_loaded_last(client: EngineClient):
    await client.load("draft")
    pid = client.health.pid
    os.kill(pid, signal.SIGKILL)
    health = await client.wait_until(
        lambda health: health.ready and health.pid != pid, timeout_s=LIMIT_S
    )
    assert health.model.path.endswith("draft.gguf")


async def test_queued_answers_outlive_the_worker(client: EngineClient):
    heard = Heard()
    running = asyncio.create_task(ask(client, "go on", greedy(8000), heard=heard))
    await client.wait_until(lambda _: bool(heard.tokens), timeout_s=LIMIT_S)
    queued = asyncio.create_task(ask(client, "queued", owner="b"))
    await client.wait_until(lambda health: health.queue_length == 1, timeout_s=LIMIT_S)
    os.kill(client.health.pid, signal.SIGKILL)
    with pytest.raises(EngineCrashedError):
        await running
    assert (await queued).finished.reason == "length"


async def test_a_worker_that_hangs_is_replaced(folder: Path, settings: Settings):
    client = EngineClient(
        make_settings(folder, cache_folder=settings.cache_folder, stall_timeout_s=1)
    )
    await client.start()
    try:
        await client.load()
        error = await answer_until_struck(client, signal.SIGSTOP)
        assert isinstance(error, EngineStalledError)
        assert (await ask(client, "hello")).finished.reason == "length"
    finally:
        await client.close()


async def test_a_hanging_worker_is_not_called_ready(folder: Path, settings: Settings):
    client = EngineClient(
        make_settings(folder, cache_folder=settings.cache_folder, stall_timeout_s=1)
    )
    await client.start()
    try:
        await client.load()
        os.kill(client.health.pid, signal.SIGSTOP)
        health = await client.wait_until(lambda health: not health.ready, timeout_s=LIMIT_S)
        assert health.progress_age_s > 1
        assert (await client.wait_until(lambda health: health.ready, timeout_s=LIMIT_S)).restarts
    finally:
        await client.close()


async def test_a_target_that_vanished_fails_the_engine_until_it_is_back(
    folder: Path, settings: Settings, tmp_path: Path
):
    model = tmp_path / "own.gguf"
    model.write_bytes((folder / "target.gguf").read_bytes())
    client = EngineClient(
        make_settings(tmp_path, cache_folder=settings.cache_folder, target_model="own")
    )
    await client.start()
    try:
        await client.load()
        hidden = model.rename(tmp_path / "elsewhere")
        os.kill(client.health.pid, signal.SIGKILL)
        health = await client.wait_until(lambda health: health.state == "failed", timeout_s=LIMIT_S)
        assert not health.live
        assert "own.gguf" in health.reason
        with pytest.raises(ModelFileError, match=r"own\.gguf"):
            await ask(client, "hello")
        hidden.rename(model)
        assert (await ask(client, "hello")).finished.reason == "length"
        assert client.health.ready
    finally:
        await client.close()


async def wait_for_failure(client: EngineClient) -> EngineHealth:
    await client.start()
    return await client.wait_until(lambda health: health.state == "failed", timeout_s=LIMIT_S)


async def test_three_crashes_in_a_minute_stop_the_restarts_until_somebody_asks(settings: Settings):
    client = EngineClient(settings, command=fake_worker("sys.exit(3)"))
    try:
        health = await wait_for_failure(client)
        assert (health.live, health.restarts) == (False, 3)
        assert "3 crashes within 60 s" in health.reason
        with pytest.raises(EngineCrashedError, match="exit code 3"):
            await ask(client, "hello")
        health = await client.wait_until(lambda health: health.state == "failed")
        assert health.restarts > 3
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print('hello', flush=True); signal.pause()", "sent nonsense: message is not understood"),
        ("print('x' * 2**25, flush=True); signal.pause()", "longer than"),
        ("sys.stderr.write('ggml: fatal error here'); sys.exit(1)", "exit code 1: ggml: fatal"),
        ("import os; os.close(1); signal.pause()", "killed by SIGKILL"),
    ],
)
async def test_a_worker_that_breaks_the_protocol_is_ended(
    settings: Settings, body: str, words: str
):
    client = EngineClient(settings, command=fake_worker(body))
    try:
        assert words in (await wait_for_failure(client)).reason
    finally:
        await client.close()


async def test_what_cannot_be_started_is_an_error(settings: Settings):
    client = EngineClient(settings, command=("/nowhere/at/all",))
    with pytest.raises(EngineCrashedError, match="cannot be started"):
        await client.start()
    await client.close()


async def test_loading_for_too_long_ends_the_worker(folder: Path, settings: Settings):
    client = EngineClient(
        make_settings(folder, cache_folder=settings.cache_folder, load_timeout_s=1),
        command=fake_worker("signal.pause()"),
    )
    await client.start()
    try:
        with pytest.raises(EngineStalledError, match="loading took more than 1 s"):
            await client.load()
    finally:
        await client.close()


async def test_closing_ends_even_a_worker_that_does_not_listen(settings: Settings):
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
    client = EngineClient(settings, command=fake_worker(body))
    await client.start()
    pid = client.health.pid
    async with asyncio.timeout(5):
        await client.close()
    assert client.health.state == "stopped"
    assert pid == 1, "what a worker says of itself is shown, never used"


async def test_a_refused_target_that_took_the_old_ones_place_makes_room_for_it_again(
    settings: Settings,
):
    code = (
        "from utils.engine import engine, worker\n"
        "from utils.errors import ModelLoadError\n"
        "engine.fits = lambda *_: None\n"
        "def refuse(header, options):\n"
        "    if header.path.name == 'draft.gguf':\n"
        "        raise ModelLoadError('too large')\n"
        "engine.require_memory = refuse\n"
        "worker.main()"
    )
    client = EngineClient(settings, command=(sys.executable, "-c", code))
    await client.start()
    try:
        await client.load()
        with pytest.raises(ModelLoadError, match="too large"):
            await client.load("draft")
        heard = await ask(client, "hello")
        assert heard.finished.reason == "length"
        assert client.health.model.path.endswith("target.gguf")
        assert client.health.restarts == 0
    finally:
        await client.close()


async def test_an_answer_nobody_reads_is_cancelled_and_blocks_nobody(
    client: EngineClient, monkeypatch: pytest.MonkeyPatch
):
    impatient = partial(Answer, backlog=100, patience_s=0.1)
    monkeypatch.setattr(supervisor, "Answer", impatient)
    async with aclosing(
        client.generate(user("go on"), sampling=greedy(8000), speculative=PLAIN)
    ) as unread:
        await anext(unread)
        assert (await ask(client, "other", owner="b")).finished.reason == "length"
        with pytest.raises(RequestError, match="nobody read it"):
            async for _ in unread:
                pass
    assert client.health.restarts == 0


async def test_no_process_outlives_the_client(client: EngineClient):
    pid = client.health.pid
    async with aclosing(
        client.generate(user("go on"), sampling=greedy(8000), speculative=PLAIN)
    ) as answer:
        async for event in answer:
            if isinstance(event, Tokens):
                break
        await client.close()
    assert is_gone(pid)


async def test_a_worker_that_dies_fails_the_look_and_the_next_one_can_be_closed_while_it_starts(
    client: EngineClient,
):
    look = asyncio.create_task(client.inspect(long_prompt(CONTEXT), candidates=(7,)))
    await client.wait_until(lambda health: health.state == "busy", timeout_s=LIMIT_S)
    os.kill(client.health.pid, signal.SIGKILL)
    with pytest.raises(EngineCrashedError):
        await look
