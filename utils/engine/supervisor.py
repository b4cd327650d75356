"""The engine over the lives of many workers: requests by id, and the target each worker loads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from config import Settings
from utils.engine.answer import Answer
from utils.engine.health import EngineHealth, Vitals
from utils.engine.lifecycle import WorkerLifecycle
from utils.engine.notice import Notice
from utils.engine.process import WORKER_COMMAND
from utils.engine.protocol import (
    Cancel,
    Failed,
    FromWorker,
    Generate,
    GetStats,
    Happened,
    Inspect,
    Inspected,
    Load,
    Loaded,
    Progress,
    Ready,
    Stats,
)
from utils.engine.requests import OpenRequests, Reply
from utils.errors import EngineError, EngineStalledError, SpecChatError
from utils.events import Started, Tokens

logger = logging.getLogger(__name__)
STATS_TIMEOUT_S = 10.0
T = TypeVar("T")


class Supervisor:
    """Routes requests to the worker of the moment, and gives each new worker its target.

    Belongs to one event loop. Whose turn it is, is decided above.
    """

    def __init__(
        self, settings: Settings, changes: Notice, *, command: tuple[str, ...] = WORKER_COMMAND
    ) -> None:
        """`changes` is notified whenever health may have changed."""
        self._load_timeout_s = settings.load_timeout_s
        self._changes = changes
        self._vitals = Vitals(changes, stall_timeout_s=settings.stall_timeout_s)
        self._requests = OpenRequests()
        self._lifecycle = WorkerLifecycle(
            self._vitals, take=self._take, lost=self._requests.fail_all, command=command
        )
        self._wanted: Load | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def health(self) -> EngineHealth:
        """The state now."""
        return self._vitals.health

    async def start(self) -> None:
        """Start a worker and wait for it; raises `EngineError` where none stays alive."""
        self._lifecycle.start()
        await self.available()

    async def close(self) -> None:
        """End the worker within 5 seconds and fail what runs."""
        await self._lifecycle.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def available(self) -> None:
        """Wait for a worker that takes requests; one that failed for good gets another try."""
        if not self._lifecycle.is_running:
            raise EngineError("the engine is not running: start it first")
        if self._vitals.state == "failed":
            if self._lifecycle.has_worker:
                self._restore()
            else:
                self._lifecycle.resume()
        while self._vitals.state not in ("ready", "busy", "failed", "stopped"):
            await self._changes.wait()
        if self._vitals.state == "stopped":
            raise EngineError("the engine was closed")
        if self._vitals.state == "failed" and self._vitals.failure is not None:
            raise self._vitals.failure

    def fail(self, error: SpecChatError) -> None:
        """Note that there is no target for this reason; who asks next tries again."""
        self._vitals.fail(error)

    async def load(self, request: Load) -> Loaded:
        """Load a target, now and into every later worker; goes on if the caller is cancelled."""
        return await asyncio.shield(self._spawn(self._load_wanted(request)))

    async def stats(self, request: GetStats) -> Stats:
        """Ask the worker for its numbers."""
        await self.available()
        try:
            reply = await self._call(request, STATS_TIMEOUT_S)
        except TimeoutError as error:
            raise EngineStalledError("the engine is too busy to tell its numbers") from error
        assert isinstance(reply, Stats)  # noqa: S101 - the worker answers in kind
        return reply

    async def inspect(self, request: Inspect) -> Inspected:
        """Have one position looked at; who leaves before the end stops it."""
        self._vitals.heard(progress_age_s=0.0)
        self._vitals.update("busy")
        try:
            reply = await self._call(request)
        except asyncio.CancelledError:
            self.cancel(request.id)
            raise
        finally:
            self._rest()
        assert isinstance(reply, Inspected)  # noqa: S101 - the worker answers in kind
        return reply

    @contextmanager
    def answer(self, request: Generate, on_end: Callable[[], None]) -> Iterator[Answer]:
        """Have a request answered; leaving before its end cancels it in the worker.

        `on_end` is called once the worker is done with it, read to the end or not.
        """

        def end() -> None:
            self._rest()
            on_end()

        answer = Answer(end)
        with self._requests.answer(request.id, answer):
            self._lifecycle.send(request)
            self._vitals.heard(progress_age_s=0.0)
            self._vitals.update("busy")
            try:
                yield answer
            finally:
                if not answer.has_ended:
                    self.cancel(request.id)
                    answer.end()

    def cancel(self, answer_id: str) -> None:
        """Have the worker stop an answer, which then finishes as cancelled."""
        if self._lifecycle.has_worker:
            self._lifecycle.send(Cancel(id=answer_id))

    def _rest(self) -> None:
        """Note that the worker has nothing to do, if so."""
        if self._vitals.state == "busy" and not self._requests.has_answers:
            self._vitals.update("ready")

    async def _take(self, message: FromWorker) -> None:
        match message:
            case Happened():
                await self._take_event(message)
            case Ready():
                self._restore()
            case Progress():
                self._vitals.update(stage=message.stage, stage_share=message.share)
            case Stats(id=""):
                self._vitals.update(stats=message)
            case Loaded() | Inspected() | Stats():
                self._requests.take_reply(message)
            case Failed():
                self._requests.take_failure(message)

    async def _take_event(self, message: Happened) -> None:
        if isinstance(message.event, Started | Tokens):
            self._vitals.update(baseline=message.event.baseline)
        self._vitals.stop_listening()
        is_read = await self._requests.take_event(message)
        self._vitals.heard(progress_age_s=0.0)
        if not is_read:
            self.cancel(message.id)

    def _restore(self) -> None:
        """Load the wanted target into a worker that has none."""
        if self._wanted is None:
            self._vitals.update("ready", reason="")
        else:
            self._vitals.update("loading", stage="loading")
            self._spawn(self._reload(self._wanted))

    async def _reload(self, wanted: Load) -> None:
        try:
            await self._load(wanted)
        except EngineError as error:
            logger.warning("target could not be loaded again: %s", error)
        except SpecChatError as error:
            self._vitals.fail(error)

    async def _load_wanted(self, request: Load) -> Loaded:
        wanted_before = self._wanted
        if self._vitals.state == "failed":
            # What is asked for now may be the way out of what failed.
            self._wanted = None
        try:
            await self.available()
            loaded = await self._load(request)
        except EngineError:
            self._wanted = wanted_before
            raise
        except SpecChatError:
            self._wanted = wanted_before
            await self._keep_old_target(request.id)
            raise
        self._wanted = request
        return loaded

    async def _keep_old_target(self, request_id: str) -> None:
        """After a refused load, go on with the target before, loaded again if need be."""
        self._vitals.update("ready", stage="")
        with suppress(EngineError):
            if (await self.stats(GetStats(id=request_id))).target is None:
                self._vitals.update(model=None)
                self._restore()

    async def _load(self, request: Load) -> Loaded:
        self._vitals.update("loading", reason="", stage="loading", stage_share=None)
        try:
            reply = await self._call(request, self._load_timeout_s)
        except TimeoutError as error:
            late = EngineStalledError(f"loading took more than {self._load_timeout_s:g} s")
            self._lifecycle.end_worker(late)
            raise late from error
        assert isinstance(reply, Loaded)  # noqa: S101 - the worker answers in kind
        self._vitals.update(
            "ready", reason="", model=reply.model, baseline=reply.baseline, stage=""
        )
        return reply

    async def _call(
        self, message: Load | GetStats | Inspect, timeout_s: float | None = None
    ) -> Reply:
        with self._requests.call(message.id) as call:
            self._lifecycle.send(message)
            async with asyncio.timeout(timeout_s):
                return await call

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Whoever asked may have gone; an error nobody fetches is no surprise.
            task.exception()
