"""An engine without models: it plays a given script of events, and waits where it is told to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from utils.backends.ollama_records import PullProgress
from utils.backends.protocol import NOTHING_WRITTEN
from utils.engine.figures import TokenLogit
from utils.engine.health import EngineHealth
from utils.engine.protocol import Inspected
from utils.events import Event, Finished, Mode, Prefilled, Started, Token, Tokens
from utils.model_catalogue import Catalogue, CatalogueEntry
from utils.model_session import ModelInfo
from utils.performance_monitor import Baseline, GenerationStats, PerformanceMonitor, RoundStats
from utils.pulls import PullBoard
from utils.startup import StartupSnapshot

BASELINE = Baseline(100.0, "calibration", 16)
MODEL = ModelInfo(
    path="models/demo-target.gguf",
    name="embedded",
    architecture="llama",
    quantization="F16",
    parameters=11_000_000,
    size_bytes=22_762_080,
    vocabulary_size=4096,
    trained_context=2048,
    context_tokens=2048,
    threads=1,
    batch_threads=1,
)


EMBEDDED_ENTRY = CatalogueEntry(
    name="embedded",
    source="embedded",
    size_bytes=MODEL.size_bytes,
    quantization="F16",
    parameters="11.4M",
    trained_context=2048,
    fitness="usable",
    path=MODEL.path,
)
READY = EngineHealth(state="ready", live=True, ready=True, pid=4242, model=MODEL, baseline=BASELINE)


@dataclass
class Gate:
    """A place in a script where the engine waits until the test opens it."""

    opened: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)


Step = Event | Gate | Exception


def round_of(words: Sequence[str], *, drafted: int, start: int = 0) -> Tokens:
    """A round that accepts all but its last word; the last is a bonus or resampled token."""
    accepted = len(words) - 1
    last = "plain" if not drafted else "bonus" if accepted == drafted else "resampled"
    sources = ["accepted"] * accepted + [last]
    return Tokens(
        tuple(
            Token(start + n, word, source, 0.02 * (start + n + 1))
            for n, (word, source) in enumerate(zip(words, sources, strict=True))
        ),
        (RoundStats("demo-draft", drafted, accepted, len(words), 0.001, 0.004, 0.005, drafted),),
        BASELINE,
    )


def finished(rounds: Sequence[Tokens], reason: str = "stop") -> Finished:
    monitor = PerformanceMonitor(BASELINE, prompt_tokens=12, reused_tokens=4, ttft_s=0.02)
    for tokens in rounds:
        monitor.extend(tokens.rounds)
    stats: GenerationStats = monitor.result()
    return Finished(reason, stats)


def script(*texts: Sequence[str], drafted: int = 3) -> list[Step]:
    """A whole answer: one round for each of `texts`."""
    rounds = [round_of(words, drafted=drafted, start=9 * n) for n, words in enumerate(texts)]
    return [
        Started(12, 4, 7, BASELINE),
        Prefilled(4, 12),
        Prefilled(12, 12),
        Mode("speculative", "demo-draft", "drafting with demo-draft"),
        *rounds,
        finished(rounds),
    ]


class StandInClient:
    def __init__(self) -> None:
        self.health = READY
        self.scripts: list[list[Step]] = []
        self.asked: list[dict[str, Any]] = []
        self.closed = 0
        self.loaded: list[str] = []
        self.load_steps: list[Gate | Exception] = []
        self.pieces: dict[int, str] = {}

    async def load(self, target) -> None:
        self.loaded.append(target)
        for step in self.load_steps:
            await _pass(step)

    async def generate(
        self,
        messages,
        *,
        sampling,
        speculative,
        owner,
        model,
        written=NOTHING_WRITTEN,
        drop_oldest=False,
    ) -> AsyncGenerator[Event]:
        self.asked.append(
            {
                "messages": messages,
                "sampling": sampling,
                "speculative": speculative,
                "owner": owner,
                "model": model,
                "written": written,
                "drop_oldest": drop_oldest,
            }
        )
        steps = self.scripts.pop(0) if self.scripts else script(["Hello", " there", "."])
        try:
            for step in steps:
                if isinstance(step, Gate | Exception):
                    await _pass(step)
                else:
                    yield step
        finally:
            self.closed += 1

    async def inspect(self, messages, *, candidates, **asked) -> Inspected:
        """Find the first candidate likelier, each next one by a quarter less."""
        found = tuple(
            TokenLogit(token_id, self.pieces.get(token_id, "?"), 9.5 - place / 4)
            for place, token_id in enumerate(candidates)
        )
        return Inspected(id="", prompt_tokens=9, candidates=found, top=found[0])


async def _pass(step: Gate | Exception) -> None:
    if isinstance(step, Exception):
        raise step
    step.reached.set()
    await asyncio.to_thread(step.opened.wait, 10)


class StandInCatalogue:
    """Has the entries that a test gives it; `refreshed` counts how often they were read again."""

    def __init__(self) -> None:
        self.refreshed = 0
        self.show()

    def show(self, *entries: CatalogueEntry, **facts: Any) -> None:
        """Have the embedded model and these."""
        told = {"ollama_version": "0.31.1", **facts}
        self.current = Catalogue((EMBEDDED_ENTRY, *entries), read_at=1.0, **told)

    async def refresh(self, *, max_age_s: float = 0.0) -> Catalogue:
        self.refreshed += not max_age_s
        return self.current


class StandInOllama:
    """Notes what is asked of it; `pull_steps` are what every pull does, in order."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.unloaded: list[str] = []
        self.error: Exception | None = None
        self.pull_steps: list[PullProgress | Gate | Exception] = []

    async def delete(self, name) -> None:
        self._fail()
        self.deleted.append(name)

    async def unload(self, name) -> None:
        self._fail()
        self.unloaded.append(name)

    async def pull(self, name) -> AsyncGenerator[PullProgress]:
        for step in self.pull_steps:
            if isinstance(step, PullProgress):
                yield step
            else:
                await _pass(step)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class StandInStartup:
    state: StartupSnapshot = field(default_factory=StartupSnapshot)

    def snapshot(self) -> StartupSnapshot:
        return self.state


class StandInEngine:
    """Looks like the engine's runtime to whoever uses it."""

    def __init__(self) -> None:
        self.client = self.answers = StandInClient()
        self.startup = StandInStartup()
        self.catalogue = StandInCatalogue()
        self.ollama = StandInOllama()
        self.thread = self
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.pulls = self.call(self._open_board()).result(5)

    async def _stop_all(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _open_board(self) -> PullBoard:
        return PullBoard(self.ollama)

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        # All tests of a process share one board of answers: none is left running on it.
        self.call(self._stop_all()).result(5)
        self.call(self.pulls.close()).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
