"""The engine worker: `python -m utils.engine.worker`, a child that owns llama.cpp.

Messages come in on stdin and go out on what was stdout; the main thread decodes, a reader thread
parses, so that a cancel is seen in the middle of a decode. Knows processes, not models.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import aclosing
from typing import BinaryIO

from utils.engine.engine import Engine
from utils.engine.outbox import Outbox
from utils.engine.protocol import (
    MAX_LINE_BYTES,
    Cancel,
    Failed,
    Generate,
    GetStats,
    Inspect,
    Load,
    Progress,
    ToWorker,
    decode_request,
)
from utils.errors import EngineError, ProtocolError, SpecChatError

logger = logging.getLogger(__name__)
Request = Load | Generate | Inspect
EXIT_S = 4.0
PR_SET_PDEATHSIG = 1


class Worker:
    """Runs one request at a time, in the order they came; reads on meanwhile."""

    def __init__(self, source: BinaryIO, sink: int) -> None:
        self._source = source
        self._engine = Engine()
        self._progress_at: float | None = None
        self._outbox = Outbox(sink, self._progress_age)
        self._stops: dict[str, threading.Event] = {}
        self._closing = threading.Event()

    async def run(self) -> None:
        """Serve until `Close` or the end of stdin."""
        self._loop = asyncio.get_running_loop()
        self._requests: asyncio.Queue[Request | None] = asyncio.Queue()
        self._outbox.send(self._engine.ready())
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while (request := await self._requests.get()) is not None:
            self._progress_at = time.monotonic()
            try:
                await self._serve(request)
            except SpecChatError as error:
                self._outbox.send(Failed(id=request.id, code=error.code, message=str(error)))
            except Exception as error:
                # The unforeseen fails one request, not the engine.
                self._forget(error)
                message = f"internal error: {type(error).__name__}; see the log of the engine"
                self._outbox.send(Failed(id=request.id, code=EngineError.code, message=message))
            finally:
                self._stops.pop(request.id, None)
            await self._use_pause()
            self._progress_at = None
        self._engine.close()
        self._outbox.close(EXIT_S / 2)

    async def _serve(self, request: Request) -> None:
        should_stop = self._stop_check(self._stops[request.id])
        if isinstance(request, Load):

            def report(stage: str, share: float | None) -> None:
                self._progress_at = time.monotonic()
                self._outbox.send(Progress(id=request.id, stage=stage, share=share))

            self._outbox.send(
                await self._engine.load(request, report=report, should_stop=should_stop)
            )
        elif isinstance(request, Inspect):
            self._outbox.send(await self._engine.inspect(request, should_stop))
        else:
            await self._answer(request, should_stop)
        if not isinstance(request, Inspect):
            self._outbox.send(self._engine.stats())

    async def _answer(self, request: Generate, should_stop: Callable[[], bool]) -> None:
        async with aclosing(self._engine.generate(request, should_stop)) as events:
            async for event in events:
                self._progress_at = time.monotonic()
                self._outbox.happened(request.id, event)

    async def _use_pause(self) -> None:
        """Have the draft read on until a request comes."""
        try:
            await self._engine.catch_up(self._is_wanted)
        except Exception as error:
            self._forget(error)

    def _forget(self, error: Exception) -> None:
        """Log what nobody foresaw, and keep no text that it may have harmed."""
        # The error's own text may quote the prompt.
        frames = "".join(traceback.format_tb(error.__traceback__))
        logger.error("request failed: %s\n%s", type(error).__name__, frames)
        self._engine.clear_caches()

    def _is_wanted(self) -> bool:
        """Give a sign of life, and tell whether a request waits."""
        self._progress_at = time.monotonic()
        return bool(self._stops) or self._closing.is_set()

    def _progress_age(self) -> float:
        """Return the time since the last progress; with nothing to do there is none to make."""
        progress_at = self._progress_at
        return 0.0 if progress_at is None else time.monotonic() - progress_at

    def _stop_check(self, stop: threading.Event) -> Callable[[], bool]:
        """Return what the decoding asks again and again: a sign of life, and whether to stop."""

        def should_stop() -> bool:
            self._progress_at = time.monotonic()
            return stop.is_set() or self._closing.is_set()

        return should_stop

    def _read(self) -> None:
        """Take in lines until the app closes the pipe or says so."""
        while not self._closing.is_set() and (line := _read_line(self._source)):
            try:
                self._take(decode_request(line))
            except ProtocolError as error:
                self._outbox.send(Failed(id="", code=error.code, message=str(error)))
        self._closing.set()
        self._loop.call_soon_threadsafe(self._requests.put_nowait, None)
        time.sleep(EXIT_S)
        os._exit(1)

    def _take(self, message: ToWorker) -> None:
        if isinstance(message, Request):
            if message.id in self._stops:
                raise ProtocolError(f"request id is taken: {message.id!r}; choose another")
            self._stops[message.id] = threading.Event()
            self._loop.call_soon_threadsafe(self._requests.put_nowait, message)
        elif isinstance(message, Cancel):
            if (stop := self._stops.get(message.id)) is not None:
                stop.set()
        elif isinstance(message, GetStats):
            self._loop.call_soon_threadsafe(
                lambda: self._outbox.send(self._engine.stats(message.id))
            )
        else:
            self._closing.set()


def _read_line(source: BinaryIO) -> bytes:
    """Read a line; of one that is too long only so much that it shows."""
    line = source.readline(MAX_LINE_BYTES + 1)
    rest = line
    while rest and not rest.endswith(b"\n"):
        rest = source.readline(MAX_LINE_BYTES)
    return line


def _take_stdout() -> int:
    """Keep stdout for messages alone: whatever prints from now on prints to stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    return private


def _die_with_parent() -> None:
    """Ask Linux to end this process when the app's ends; elsewhere the end of stdin does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_loudly(problem: threading.ExceptHookArgs) -> None:
    """End the process: without its reader or writer it would be silent for ever."""
    name = problem.thread.name if problem.thread else "thread"
    logger.error("%s failed: %s", name, problem.exc_type.__name__)
    os._exit(1)


def main() -> None:
    """Run the worker on this process's pipes."""
    sink = _take_stdout()
    _die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(0.0005)
    threading.excepthook = _end_loudly
    asyncio.run(Worker(sys.stdin.buffer, sink).run())


if __name__ == "__main__":
    main()
