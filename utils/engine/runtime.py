"""An event loop in a thread of its own, so that synchronous code can use the engine."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from config import Settings, get_settings
from utils.backends.ollama import OllamaClient
from utils.backends.router import AnswerRouter
from utils.engine.client import EngineClient
from utils.model_catalogue import ModelCatalogue
from utils.pulls import PullBoard
from utils.startup import Startup

T = TypeVar("T")
CLOSE_TIMEOUT_S = 8.0


class LoopThread:
    """A running event loop on a daemon thread; `call` is safe from any thread."""

    def __init__(self, name: str = "engine-loop") -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run `coroutine` on the loop; cancelling the future cancels it there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        """Cancel what still runs, end the loop and the thread."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.get_loop().run_forever()


class EngineRuntime:
    """What this process answers with, and the loop that all of it belongs to.

    `answers` writes with the engine, and goes on without drafting or with Ollama where it fails.
    """

    client: EngineClient
    ollama: OllamaClient
    answers: AnswerRouter
    catalogue: ModelCatalogue
    pulls: PullBoard
    startup: Startup

    def __init__(self, settings: Settings) -> None:
        self.thread = LoopThread()
        self.thread.call(self._open(settings)).result()

    async def _open(self, settings: Settings) -> None:
        self.client, self.ollama = EngineClient(settings), OllamaClient(settings)
        self.answers = AnswerRouter(settings, self.client, self.ollama)
        self.catalogue = ModelCatalogue(settings, self.ollama)
        self.pulls = PullBoard(self.ollama)
        self.startup = Startup(settings, self.client, self.ollama, self.pulls)

    def close(self) -> None:
        """End pulls and worker, then the loop."""
        try:
            self.thread.call(self._close()).result(CLOSE_TIMEOUT_S)
        finally:
            self.thread.close()

    async def _close(self) -> None:
        self.startup.close()
        await self.pulls.close()
        await self.client.close()
        await self.ollama.close()


_lock = threading.Lock()
_runtime: EngineRuntime | None = None


def get_engine() -> EngineRuntime:
    """Return the engine of this process, made at the first call; it starts when first used."""
    global _runtime
    with _lock:
        if _runtime is None:
            _runtime = EngineRuntime(get_settings())
            atexit.register(close_engine)
        return _runtime


def close_engine() -> None:
    """End the engine of this process; the next `get_engine` makes a new one."""
    global _runtime
    with _lock:
        runtime, _runtime = _runtime, None
        if runtime is not None:
            atexit.unregister(close_engine)
            runtime.close()
