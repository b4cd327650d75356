"""Targets come and go: opened, refused, replaced, each in its turn."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from config import Settings
from tests.engine.conftest import LIMIT_S, PLAIN, ask, greedy, make_settings, user
from utils.engine.client import EngineClient
from utils.errors import EngineError, ModelFileError, ModelLoadError, UnknownModelError
from utils.events import Finished

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing", UnknownModelError),
        ("garbage", ModelFileError),
        ("truncated", ModelFileError),
        ("sick", ModelLoadError),
    ],
)
async def test_a_target_that_cannot_be_used_is_refused_and_the_old_one_stays(
    engine: EngineClient, name: str, error: type[Exception]
):
    with pytest.raises(error, match=name):
        await engine.load(name)
    health = engine.health
    assert health.ready
    assert health.model is not None
    assert health.model.path.endswith("target.gguf")
    assert (await ask(engine, "hello")).finished.reason == "length"


async def test_loading_another_target_waits_its_turn_and_replaces_the_first(engine: EngineClient):
    async with aclosing(
        engine.generate(user("first"), sampling=greedy(2000), speculative=PLAIN)
    ) as first:
        await anext(first)
        loading = asyncio.create_task(engine.load("draft"))
        await engine.wait_until(lambda health: health.queue_length == 1, timeout_s=LIMIT_S)
        assert isinstance([event async for event in first][-1], Finished)
        loaded = await loading
    assert loaded.model.path.endswith("draft.gguf")
    assert loaded.baseline.origin == "calibration"
    assert (await engine.load()).model.path.endswith("target.gguf")


async def test_a_load_nobody_waits_for_completes(engine: EngineClient):
    task = asyncio.create_task(engine.load("draft"))
    await engine.wait_until(lambda health: health.state == "loading", timeout_s=LIMIT_S)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    health = await engine.wait_until(lambda health: health.ready, timeout_s=LIMIT_S)
    assert health.model is not None
    assert health.model.path.endswith("draft.gguf")
    await engine.load()


async def test_opening_loads_the_target_of_the_settings(settings: Settings):
    client = EngineClient(settings)
    await client.open()
    try:
        assert client.health.ready
    finally:
        await client.close()


async def test_opening_with_an_unknown_target_says_so_and_another_can_be_loaded(
    folder: Path, settings: Settings
):
    client = EngineClient(
        make_settings(folder, cache_folder=settings.cache_folder, target_model="targte")
    )
    await client.open()
    try:
        assert (client.health.state, client.health.live) == ("failed", False)
        assert "no model is called 'targte'" in client.health.reason
        with pytest.raises(UnknownModelError, match="did you mean 'target'"):
            await ask(client, "hello")
        await client.load("target")
        assert (await ask(client, "hello")).finished.reason == "length"
        assert (client.health.ready, client.health.reason) == (True, "")
    finally:
        await client.close()


async def test_opening_where_no_worker_stays_alive_does_not_raise(settings: Settings):
    client = EngineClient(settings, command=("/nowhere/at/all",))
    await client.open()
    assert client.health.state == "failed"
    await client.close()


async def test_what_was_never_started_says_so(settings: Settings):
    client = EngineClient(settings)
    assert (client.health.state, client.health.live) == ("stopped", False)
    with pytest.raises(EngineError, match="not running"):
        await ask(client, "hello")
    await client.close()
