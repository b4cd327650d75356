"""Real workers with models small enough to be written here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from config import SamplingParams, Settings, SpeculativeConfig
from tests.tiny_gguf import write_tiny_gguf, write_tiny_pair
from utils.engine.client import EngineClient
from utils.engine.protocol import ChatMessage
from utils.events import Event, Finished, Mode, Started, Tokens

CONTEXT = 16_384
PLAIN = SpeculativeConfig(enabled=False)
LIMIT_S = 20.0


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of all kinds: good, unlike, sick and broken."""
    path = tmp_path_factory.mktemp("models")
    target, _ = write_tiny_pair(path, context=CONTEXT)
    write_tiny_gguf(path / "stranger.gguf", vocabulary_size=300)
    write_tiny_gguf(path / "sick.gguf", nan=True)
    data = target.read_bytes()
    (path / "truncated.gguf").write_bytes(data[: len(data) // 2])
    (path / "garbage.gguf").write_bytes(b"GGUF" + bytes(range(256)) * 16)
    return path


@pytest.fixture(scope="session")
def settings(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_settings(folder, cache_folder=tmp_path_factory.mktemp("cache"))


def make_settings(folder: Path, **changes: object) -> Settings:
    values: dict[str, object] = {
        "target_model": "target",
        "model_folders": (folder,),
        "context_tokens": CONTEXT,
        "threads": 1,
        "batch_threads": 1,
        **changes,
    }
    return Settings(_env_file=None, **values)


def drafted(name: str, **changes: object) -> SpeculativeConfig:
    """Draft with the model `name`, whatever the acceptance rate."""
    return SpeculativeConfig(
        draft_model=name, draft_length="fixed", acceptance_threshold=0, **changes
    )


def user(text: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


def long_prompt(tokens: int) -> list[ChatMessage]:
    """A message that takes long to read: about so many tokens, no two parts alike."""
    return user("".join(f"{number:x}q" for number in range(tokens))[: tokens - 50])


def greedy(max_tokens: int = 40) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=max_tokens)


@dataclass
class Heard:
    """The events of one answer."""

    events: list[Event] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)

    @property
    def tokens(self):
        return [token for event in self.all(Tokens) for token in event.tokens]

    @property
    def started(self) -> Started:
        return self.all(Started)[0]

    @property
    def mode(self) -> Mode:
        return self.all(Mode)[-1]

    @property
    def finished(self) -> Finished:
        return self.all(Finished)[0]

    def all(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


async def ask(
    client: EngineClient,
    messages: Sequence[ChatMessage] | str,
    sampling: SamplingParams | None = None,
    speculative: SpeculativeConfig = PLAIN,
    *,
    heard: Heard | None = None,
    until: type | None = None,
    **options: str,
) -> Heard:
    """Read an answer to its end, or to the first event of the kind `until`."""
    heard = heard or Heard()
    answer = client.generate(
        user(messages) if isinstance(messages, str) else messages,
        sampling=sampling or greedy(),
        speculative=speculative,
        **options,
    )
    async with asyncio.timeout(LIMIT_S), aclosing(answer):
        async for event in answer:
            heard.events.append(event)
            if until is not None and isinstance(event, until):
                break
    return heard


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[EngineClient]:
    """A client with the target loaded, of its own."""
    engine = EngineClient(settings)
    await engine.start()
    try:
        await engine.load()
        yield engine
    finally:
        await engine.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(settings: Settings) -> AsyncIterator[EngineClient]:
    """One client for all tests of a module; none of them may harm it."""
    client = EngineClient(settings)
    await client.start()
    try:
        await client.load()
        yield client
    finally:
        await client.close()
