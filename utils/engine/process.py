"""The worker as a child process: spawned, talked to, ended. Knows messages, not their meaning."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress

from config import ROOT
from utils.engine.protocol import (
    MAX_LINE_BYTES,
    Close,
    FromWorker,
    Message,
    decode_reply,
    encode,
)
from utils.errors import EngineCrashedError, ProtocolError

WORKER_COMMAND = (sys.executable, "-m", "utils.engine.worker")
CLOSE_S = 3.0
TERMINATE_S = 1.0
STDERR_LINES = 20
STDERR_LINE_CHARS = 300
ERROR_LINE = re.compile(r"error|assert|abort|exception|failed|fatal", re.IGNORECASE)
SOURCE_FOLDER = re.compile(r"(?:[A-Za-z]:)?[/\\](?:[^\s:]*[/\\])")


class WorkerProcess:
    """One life of the worker; make it with `spawn`, end it with `close` or `kill`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._drain = asyncio.create_task(self._drain_stderr())

    @classmethod
    async def spawn(cls, command: tuple[str, ...] = WORKER_COMMAND) -> WorkerProcess:
        """Start a worker; its first message is `Ready`."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=ROOT,
                env={**os.environ, "GGML_NO_BACKTRACE": "1"},
                limit=MAX_LINE_BYTES,
            )
        except OSError as error:
            raise EngineCrashedError(f"engine cannot be started: {error}") from error
        return cls(process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Write a message; what a dead worker does not take is noticed by who reads from it."""
        assert self._process.stdin is not None  # noqa: S101 - spawned with a pipe
        if not self._process.stdin.is_closing():
            self._process.stdin.write(encode(message))

    async def messages(self) -> AsyncGenerator[FromWorker, None]:
        """Yield messages until the worker closes its end; raises `ProtocolError` on garbage."""
        assert self._process.stdout is not None  # noqa: S101
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError as error:
                raise ProtocolError(f"message is longer than {MAX_LINE_BYTES} bytes") from error
            if not line.endswith(b"\n"):
                return
            yield decode_reply(line)

    async def close(self) -> None:
        """Ask the worker to end, and make it end within 5 seconds."""
        self.send(Close())
        if not await self._ends_within(CLOSE_S):
            with suppress(ProcessLookupError):
                self._process.terminate()
            if not await self._ends_within(TERMINATE_S):
                self.end()

    def end(self) -> None:
        """Kill the worker now."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def bury(self) -> None:
        """Wait for a worker that closed its end, kill it if need be, and release everything."""
        await self._ends_within(TERMINATE_S)
        self.end()
        assert self._process.stdout is not None  # noqa: S101
        while await self._process.stdout.read(2**20):
            pass
        await self._process.wait()
        await self._drain

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._process.wait()
                return True
        return False

    def obituary(self) -> str:
        """Say how the worker ended, with the last word of its stderr if that helps."""
        code = self._process.returncode
        if code is None:
            how = "is still running"
        elif code < 0:
            how = f"was killed by {_signal_name(-code)}"
        else:
            how = f"ended with exit code {code}"
        word = next((line for line in reversed(self._stderr) if ERROR_LINE.search(line)), "")
        # A native assertion names its source by the folder that it was compiled in.
        word = SOURCE_FOLDER.sub("", word)
        return f"the engine {how}" + (f": {word}" if word else "")

    async def _drain_stderr(self) -> None:
        assert self._process.stderr is not None  # noqa: S101
        while chunk := await self._process.stderr.read(2**16):
            lines = chunk.decode(errors="replace").splitlines()
            self._stderr.extend(line.strip()[:STDERR_LINE_CHARS] for line in lines)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
