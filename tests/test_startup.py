"""Start-up: what is pulled, who answers meanwhile, and what happens when a pull fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from config import Settings, SpeculativeConfig
from tests.chat.stand_in import MODEL, READY
from tests.engine.conftest import ask, greedy
from tests.ollama_registry import Registry, until
from tests.ollama_server import OllamaServer
from tests.tiny_gguf import write_tiny_gguf
from utils import startup as startup_module
from utils.backends import ollama
from utils.backends.ollama import OllamaClient
from utils.draft_models import EMBEDDED_TARGET
from utils.engine.client import EngineClient
from utils.errors import ModelLoadError
from utils.pulls import PullBoard
from utils.startup import Startup, missing_models

LIMIT_S = 30.0
DISK_FULL = "write blobs/sha256-aa-partial: no space left on device"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama, "CONNECT_TIMEOUT_S", 60)
    monkeypatch.setattr(startup_module, "LIST_TIMEOUT_S", 60)


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    async with OllamaServer() as running:
        yield running


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tale.gguf", context=512).read_bytes()


@pytest.fixture
def registry(server: OllamaServer, tmp_path: Path, gguf: bytes) -> Registry:
    registry = Registry(server, tmp_path / "store")
    registry.add("tale", gguf)
    registry.add("poem", gguf)
    return registry


@dataclass
class StandInEngine:
    """Loads whatever it is asked to, or raises `error`."""

    health: object = field(default_factory=lambda: replace(READY, model=None))
    loaded: list[str | None] = field(default_factory=list)
    error: Exception | None = None

    async def open(self, target: str | None = None) -> None:
        self.loaded.append(target)
        path = str(EMBEDDED_TARGET) if target == "embedded" else f"/models/{target}.gguf"
        self.health = replace(READY, model=replace(MODEL, path=path))

    async def load(self, target: str) -> None:
        if self.error is not None:
            raise self.error
        await self.open(target)


@dataclass
class Pauses:
    """Pauses that end when the test says so."""

    begun: asyncio.Queue[float] = field(default_factory=asyncio.Queue)
    may_end: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def __call__(self, seconds: float) -> None:
        await self.begun.put(seconds)
        await self.may_end.acquire()

    async def next(self) -> float:
        async with asyncio.timeout(LIMIT_S):
            return await self.begun.get()


@dataclass
class Started:
    startup: Startup
    engine: StandInEngine
    board: PullBoard
    pauses: Pauses
    task: asyncio.Task[None]

    def state(self, name: str = "tale:latest") -> str:
        return {pull.name: pull.state for pull in self.startup.snapshot().pulls}[name]

    async def end(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self.task


@pytest.fixture
async def start(server, registry):
    """Return a function that starts up with settings, and a stand-in for the engine."""
    running = []

    def begin(engine: StandInEngine | None = None, **changes: object) -> Started:
        values = {"target_model": "tale", "ollama_store": registry.store, **changes}
        settings = Settings(_env_file=None, ollama_url=server.url, **values)
        client, engine, pauses = OllamaClient(settings), engine or StandInEngine(), Pauses()
        board = PullBoard(client)
        startup = Startup(settings, engine, client, board, pause=pauses)
        task = asyncio.create_task(startup.run())
        running.append((client, board, task))
        return Started(startup, engine, board, pauses, task)

    yield begin
    for client, board, task in running:
        await board.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


def draft(name: str) -> SpeculativeConfig:
    return SpeculativeConfig(draft_model=name)


@pytest.mark.parametrize(
    ("changes", "files", "listed", "expected"),
    [
        ({}, (), (), ()),
        ({"target_model": "tale"}, (), (), ("tale:latest",)),
        ({"target_model": "tale"}, ("tale",), (), ()),
        ({"target_model": "tale"}, (), ("tale:latest",), ()),
        ({"target_model": "tale"}, (), ("TALE:latest",), ()),
        ({"target_model": "my file (2)"}, (), (), ()),
        ({"target_model": "tale.gguf"}, (), (), ()),
        ({"speculative": draft("poem.GGUF")}, (), (), ()),
        (
            {"target_model": "hf.co/me/it:it-Q4.gguf"},
            (),
            (),
            ("hf.co/me/it:it-Q4.gguf",),
        ),
        ({"target_model": "tale", "pull_missing": False}, (), (), ()),
        ({"speculative": draft("lookup")}, (), (), ()),
        ({"speculative": draft("poem:1b")}, (), (), ("poem:1b",)),
        ({"speculative": draft("poem:1b")}, ("poem:1b",), (), ()),
        ({"ollama_model": "song"}, (), (), ("song:latest",)),
        ({"ollama_model": "song"}, ("song",), (), ("song:latest",)),
        ({"ollama_model": "song"}, (), ("song:latest",), ()),
        ({"pull_models": "song,hf.co/me/it:Q4"}, (), (), ("song:latest", "hf.co/me/it:Q4")),
        ({"pull_models": "song,tale"}, (), ("song:latest",), ("tale:latest",)),
        ({"pull_models": "song", "pull_missing": False}, (), (), ("song:latest",)),
        (
            {
                "pull_models": "song,tale",
                "target_model": "tale",
                "speculative": draft("poem"),
                "ollama_model": "tale:latest",
            },
            (),
            (),
            ("tale:latest", "poem:latest", "song:latest"),
        ),
    ],
)
def test_what_is_pulled_follows_from_the_settings_and_what_is_there(
    changes, files, listed, expected
):
    settings = Settings(_env_file=None, **changes)
    assert missing_models(settings, files=files, on_ollama=listed) == expected


async def test_where_all_is_there_nobody_asks_ollama(server, registry, start):
    registry.install("tale")
    for changes in ({"target_model": "embedded"}, {"target_model": "tale"}):
        server.asked.clear()
        started = start(**changes, speculative=draft("lookup"))
        await started.end()
        assert started.engine.loaded == [None]
        assert started.startup.snapshot().is_complete
        assert server.asked_of("pull") == []
    started = start(target_model="embedded")
    await started.end()
    assert server.asked == []


async def test_the_embedded_target_answers_until_the_wanted_one_is_there(registry, start):
    registry.hold()
    started = start()
    await until(lambda: registry.is_halfway.is_set() and started.engine.loaded)
    snapshot = started.startup.snapshot()
    assert started.engine.loaded == ["embedded"]
    assert (snapshot.target, snapshot.is_complete) == ("tale", False)
    assert [pull.name for pull in snapshot.awaited] == ["tale:latest"]

    registry.may_go_on.set()
    await started.end()
    assert started.engine.loaded == ["embedded", "tale:latest"]
    assert started.startup.snapshot().is_complete
    assert started.state() == "done"


async def test_a_target_that_is_there_is_loaded_while_others_are_pulled(registry, start):
    registry.install("tale")
    registry.hold()
    started = start(pull_models=("poem:latest",))
    await until(lambda: registry.is_halfway.is_set() and started.engine.loaded)
    assert started.engine.loaded == [None]
    assert not started.startup.snapshot().is_complete
    assert started.startup.snapshot().target == ""
    registry.may_go_on.set()
    await started.end()
    assert started.startup.snapshot().is_complete


async def test_a_pull_that_fails_is_tried_again_after_growing_pauses(server, start):
    await server.stop()
    started = start()
    pauses = []
    for _ in range(8):
        pauses.append(await started.pauses.next())
        assert started.state() == "failed"
        assert "not running" in started.startup.snapshot().pulls[0].error
        assert started.engine.loaded == ["embedded"]
        started.pauses.may_end.release()
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]

    await started.pauses.next()
    await server.start()
    started.pauses.may_end.release()
    await started.end()
    assert started.engine.loaded == ["embedded", "tale:latest"]
    assert started.startup.snapshot().is_complete


async def test_a_full_disk_is_tried_again_too(server, registry, start):
    registry.error_once = DISK_FULL
    started = start()
    assert await started.pauses.next() == 5
    assert "make room" in started.startup.snapshot().pulls[0].error
    started.pauses.may_end.release()
    await started.end()
    assert started.state() == "done"
    assert len(server.asked_of("pull")) == 2


async def test_a_model_that_does_not_exist_is_asked_for_once(server, start):
    started = start(target_model="nobody/knows-it")
    await started.end()
    snapshot = started.startup.snapshot()
    assert not snapshot.is_complete
    assert "there is no such model" in snapshot.pulls[0].error
    assert started.engine.loaded == ["embedded"]
    assert len(server.asked_of("pull")) == 1
    assert started.pauses.begun.empty()


async def test_a_model_that_somebody_else_pulled_meanwhile_is_not_pulled_again(
    server, registry, start
):
    registry.error_once = DISK_FULL
    started = start()
    await started.pauses.next()
    registry.install("tale")
    started.pauses.may_end.release()
    await started.end()
    assert len(server.asked_of("pull")) == 1
    assert started.engine.loaded == ["embedded", "tale:latest"]
    assert started.startup.snapshot().is_complete


async def test_who_cancels_a_pull_gives_the_model_up(registry, start):
    registry.hold()
    started = start()
    await until(registry.is_halfway.is_set)
    started.board.start("tale").cancel()
    await started.end()
    assert started.engine.loaded == ["embedded"]
    assert started.startup.snapshot().is_complete


async def test_a_target_chosen_meanwhile_stays(registry, start):
    registry.hold()
    started = start()
    await until(lambda: registry.is_halfway.is_set() and started.engine.loaded)
    await started.engine.load("another")
    registry.may_go_on.set()
    await started.end()
    assert started.engine.loaded == ["embedded", "another"]
    assert started.startup.snapshot().is_complete


async def test_a_pulled_target_that_cannot_be_loaded_says_why(start):
    started = start(StandInEngine(error=ModelLoadError("too large for this machine")))
    await started.end()
    snapshot = started.startup.snapshot()
    assert (snapshot.target, snapshot.problem) == ("tale", "too large for this machine")
    assert not snapshot.is_complete


async def test_a_target_on_another_machine_is_not_pulled_but_tried(server, start):
    server.models.add("tale:latest")
    started = start(StandInEngine(error=ModelLoadError("not on this machine")))
    await started.end()
    assert server.asked_of("pull") == []
    assert started.engine.loaded == ["embedded"]
    assert started.startup.snapshot().problem == "not on this machine"


async def test_without_pull_missing_the_target_is_loaded_as_named(server, start):
    started = start(pull_missing=False)
    await started.end()
    assert started.engine.loaded == [None]
    assert server.asked == []


async def test_a_file_that_is_not_there_is_not_asked_of_ollama(server, start):
    started = start(target_model="tale.gguf")
    await started.end()
    assert started.engine.loaded == [None]
    assert server.asked_of("pull") == []


async def test_a_server_that_hangs_does_not_hold_up_the_engine(server, start, monkeypatch):
    monkeypatch.setattr(startup_module, "LIST_TIMEOUT_S", 0.05)
    server.faults["tags"] = "silent"
    started = start()
    await started.end()
    assert started.engine.loaded == ["embedded", "tale:latest"]


async def test_without_ollama_what_lies_in_its_store_counts_as_there(server, registry, start):
    registry.install("poem")
    await server.stop()
    started = start(target_model="embedded", pull_models=("poem:latest",))
    await started.end()
    assert started.startup.snapshot().pulls == ()
    assert started.startup.snapshot().is_complete


async def test_a_real_engine_answers_meanwhile_and_switches_to_what_was_pulled(
    server, registry, tmp_path
):
    settings = Settings(
        _env_file=None,
        target_model="tale",
        ollama_url=server.url,
        ollama_store=registry.store,
        context_tokens=512,
        threads=1,
        batch_threads=1,
        cache_folder=tmp_path / "cache",
    )
    registry.hold()
    client, engine = OllamaClient(settings), EngineClient(settings)
    board = PullBoard(client)
    startup = Startup(settings, engine, client, board)
    running = asyncio.create_task(startup.run())
    try:
        await engine.wait_until(lambda health: health.ready, timeout_s=LIMIT_S)
        assert startup.snapshot().target == "tale"
        assert Path(engine.health.model.path) == EMBEDDED_TARGET
        drafted = await ask(engine, "What is a draft model?", greedy(8), SpeculativeConfig())
        assert drafted.mode.mode == "speculative"

        registry.may_go_on.set()
        async with asyncio.timeout(LIMIT_S):
            await running
        assert Path(engine.health.model.path).parent == registry.store.resolve() / "blobs"
        assert startup.snapshot().is_complete
        assert (await ask(engine, "hello", greedy(4))).finished.reason in ("stop", "length")
    finally:
        await board.close()
        await engine.close()
        await client.close()
