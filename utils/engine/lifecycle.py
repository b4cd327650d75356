"""Worker after worker: started, listened to, watched, buried, and followed by the next."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from time import monotonic

from utils.engine.health import Vitals
from utils.engine.process import WORKER_COMMAND, WorkerProcess
from utils.engine.protocol import FromWorker, Heartbeat, Message, Ready
from utils.errors import EngineCrashedError, EngineError, EngineStalledError, ProtocolError

logger = logging.getLogger(__name__)
CRASHES, CRASH_WINDOW_S = 3, 60.0
WATCH_EVERY_S = 0.2


class WorkerLifecycle:
    """Keeps one worker running; what it means by its messages is for `take` to know.

    `lost` is called with the reason whenever a worker ended. After three crashes in a minute the
    engine counts as failed, and the next worker starts when `resume` is called.
    """

    def __init__(
        self,
        vitals: Vitals,
        *,
        take: Callable[[FromWorker], Awaitable[None]],
        lost: Callable[[EngineError], None],
        command: tuple[str, ...] = WORKER_COMMAND,
    ) -> None:
        self._vitals = vitals
        self._take = take
        self._lost = lost
        self._command = command
        self._worker: WorkerProcess | None = None
        self._verdict: EngineError | None = None
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._resume = asyncio.Event()
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """True between `start` and `close`."""
        return self._task is not None and not self._is_closing

    @property
    def has_worker(self) -> bool:
        """True while there is a process to talk to."""
        return self._worker is not None

    def start(self) -> None:
        """Start the first worker; once started, do nothing."""
        if self._task is None:
            self._is_closing = False
            self._crashes.clear()
            self._vitals.update("starting", reason="")
            self._task = asyncio.create_task(self._run(), name="engine lifecycle")

    async def close(self) -> None:
        """End the worker within 5 seconds, and start no other."""
        if (task := self._task) is None:
            return
        self._is_closing = True
        self._resume.set()
        if self._worker is not None:
            await self._worker.close()
        await task
        self._task = None

    def send(self, message: Message) -> None:
        """Write to the worker, or raise `EngineCrashedError` if there is none."""
        if self._worker is None:
            raise EngineCrashedError(self._vitals.health.reason or "the engine is not running")
        self._worker.send(message)

    def resume(self) -> None:
        """Start another worker after too many crashes."""
        self._vitals.update("restarting")
        self._resume.set()

    def end_worker(self, verdict: EngineError) -> None:
        """Kill the worker, for this reason."""
        self._verdict = self._verdict or verdict
        if self._worker is not None:
            self._worker.end()

    async def _run(self) -> None:
        try:
            while not self._is_closing:
                error = await self._run_once()
                self._worker = None
                if not self._is_closing:
                    self._lost(error)
                    await self._recover(error)
        finally:
            self._lost(EngineError("the engine was closed"))
            self._vitals.update("stopped", pid=None, model=None, stats=None, stage="")

    async def _run_once(self) -> EngineError:
        """Run one worker until it ends, and say why it did."""
        self._verdict = None
        self._vitals.heard(progress_age_s=0.0)
        try:
            worker = self._worker = await WorkerProcess.spawn(self._command)
        except EngineCrashedError as error:
            return error
        if self._is_closing:
            # Whoever closed while it started found no process to end.
            await worker.close()
        watch = asyncio.create_task(self._watch())
        try:
            async with aclosing(worker.messages()) as messages:
                async for message in messages:
                    await self._hear(message)
        except ProtocolError as error:
            self.end_worker(EngineCrashedError(f"the engine sent nonsense: {error}"))
        finally:
            watch.cancel()
            await worker.bury()
        return self._verdict or EngineCrashedError(worker.obituary())

    async def _hear(self, message: FromWorker) -> None:
        self._vitals.heard()
        if isinstance(message, Heartbeat):
            self._vitals.heard(progress_age_s=message.progress_age_s)
            return
        if isinstance(message, Ready):
            self._vitals.update(
                pid=message.pid,
                llama_cpp_version=message.llama_cpp_version,
                system_info=message.system_info,
                has_gpu=message.has_gpu,
            )
        await self._take(message)

    async def _recover(self, error: EngineError) -> None:
        """Note a crash; after too many, wait until somebody asks again."""
        logger.warning("engine worker ended: %s", error)
        self._crashes.append(monotonic())
        restarts = self._vitals.health.restarts + 1
        self._vitals.update(
            "restarting", reason=str(error), pid=None, model=None, stats=None, restarts=restarts
        )
        if len(self._crashes) == CRASHES and self._crashes[0] > monotonic() - CRASH_WINDOW_S:
            reason = f"{CRASHES} crashes within {CRASH_WINDOW_S:.0f} s, the last one: {error}"
            self._resume.clear()
            self._vitals.fail(type(error)(reason))
            await self._resume.wait()

    async def _watch(self) -> None:
        """Kill a worker that makes no progress."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            if self._vitals.is_stalled:
                self.end_worker(EngineStalledError("the engine made no progress for too long"))
            self._vitals.update()
