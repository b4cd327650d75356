"""Downloads of Ollama's models: a job owns each of them, pages only draw snapshots of it.

A job runs on the loop of the board and outlives the page that started it. Ollama keeps what has
arrived, so that a pull started again goes on where the one before stopped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Literal

from utils.backends.ollama import OllamaClient
from utils.backends.ollama_errors import may_pass
from utils.backends.ollama_records import PullProgress
from utils.errors import QueueFullError, RequestError, SpecChatError
from utils.model_names import full_name

PullState = Literal["waiting", "pulling", "done", "failed", "cancelled"]
PULLS_AT_ONCE = 2
BOARD_LIMIT = 64
MAX_STATUS_CHARS = 200
# Over so many seconds the speed is measured, in steps that keep the window small.
WINDOW_S, STEP_S = 10.0, 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PullSnapshot:
    """A pull at one moment.

    `status` is Ollama's word for what it does; sizes are those of all files named so far;
    `bytes_per_s` is 0 while unknown. `may_pass`: it failed for a reason that may pass by itself.
    """

    name: str
    state: PullState
    started_at: datetime
    status: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    bytes_per_s: float = 0.0
    error: str = ""
    may_pass: bool = False

    @property
    def is_active(self) -> bool:
        """True until it has ended."""
        return self.state in ("waiting", "pulling")

    @property
    def share(self) -> float:
        """The share that has arrived, 0 to 1; 0 while no size is known."""
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else 0.0

    @property
    def remaining_s(self) -> float | None:
        """How long it will take at this speed; None while unknown."""
        if not self.bytes_per_s:
            return None
        return max(0, self.total_bytes - self.done_bytes) / self.bytes_per_s


class PullJob:
    """One pull, from the request to its end; public methods may be called from any thread."""

    def __init__(
        self,
        name: str,
        ollama: OllamaClient,
        *,
        places: asyncio.Semaphore,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[], None],
    ) -> None:
        """`places` are those for running pulls, `on_end` is called on the loop."""
        self.name = name
        self._ollama = ollama
        self._places = places
        self._loop = loop
        self._on_end = on_end
        self._lock = threading.Lock()
        self._state: PullState = "waiting"
        self._started_at = datetime.now(UTC)
        self._progress = PullProgress("", 0, 0)
        self._speed = Speed()
        self._error = ""
        self._may_pass = False
        self._task: asyncio.Task[None] | None = None
        self._has_ended = threading.Event()
        self._end_on_loop = asyncio.Event()

    def start(self) -> None:
        """Begin on the loop."""
        self._loop.call_soon_threadsafe(self._begin)

    def snapshot(self) -> PullSnapshot:
        """Return the pull as it stands."""
        with self._lock:
            return PullSnapshot(
                name=self.name,
                state=self._state,
                started_at=self._started_at,
                status=self._progress.status,
                done_bytes=self._progress.done_bytes,
                total_bytes=self._progress.total_bytes,
                bytes_per_s=self._speed.bytes_per_s if self._state == "pulling" else 0.0,
                error=self._error,
                may_pass=self._may_pass,
            )

    def cancel(self) -> None:
        """Stop; what has arrived stays with Ollama."""
        if not self._has_ended.is_set():
            self._loop.call_soon_threadsafe(self._stop)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; False where the time is up before."""
        return self._has_ended.wait(timeout_s)

    async def finished(self) -> PullSnapshot:
        """Wait for the end on the loop, and return the last snapshot."""
        await self._end_on_loop.wait()
        return self.snapshot()

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._run(), name=f"pull {self.name}")
        self._task.add_done_callback(self._end)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        async with self._places:
            with self._lock:
                self._state, self._speed = "pulling", Speed()
            async with aclosing(self._ollama.pull(self.name)) as steps:
                async for step in steps:
                    self._take(step)

    def _take(self, step: PullProgress) -> None:
        with self._lock:
            # What was there when a file was named has not arrived just now.
            if step.total_bytes == self._progress.total_bytes:
                self._speed.note(step.done_bytes - self._progress.done_bytes)
            status = step.status[:MAX_STATUS_CHARS]
            self._progress = PullProgress(status, step.done_bytes, step.total_bytes)

    def _end(self, task: asyncio.Task[None]) -> None:
        with self._lock:
            if task.cancelled():
                self._state = "cancelled"
            elif (error := task.exception()) is None:
                self._state = "done"
            else:
                self._state, self._may_pass = "failed", may_pass(error)
                self._error = _sentence(self.name, error)
        self._on_end()
        self._end_on_loop.set()
        self._has_ended.set()


class PullBoard:
    """All pulls of this process, one for each name; methods may be called from any thread.

    At most `PULLS_AT_ONCE` run, the others wait. It lives on the loop that it was made on.
    """

    def __init__(self, ollama: OllamaClient, *, limit: int = BOARD_LIMIT) -> None:
        self._ollama = ollama
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(PULLS_AT_ONCE)
        self._jobs: dict[str, PullJob] = {}
        self._limit = limit
        self._lock = threading.Lock()
        self._version = 0
        self._is_closed = False

    @property
    def version(self) -> int:
        """How many pulls have ended: another number, another list of models."""
        return self._version

    def start(self, name: str) -> PullJob:
        """Pull a model, or return the job that does so already.

        Raises `UnknownModelError` for what is no name, `QueueFullError` where too many wait.
        """
        name = full_name(name)
        with self._lock:
            if self._is_closed:
                raise RequestError("the app is ending: pull the model when it runs again")
            job = self._jobs.get(name.casefold())
            if job is not None and job.snapshot().is_active:
                return job
            self._make_room()
            job = PullJob(
                name, self._ollama, places=self._places, loop=self._loop, on_end=self._count_end
            )
            self._jobs.pop(name.casefold(), None)
            self._jobs[name.casefold()] = job
            job.start()
            return job

    def find(self, name: str) -> PullJob | None:
        """Return the newest job for a model, or None; raises `UnknownModelError`."""
        with self._lock:
            return self._jobs.get(full_name(name).casefold())

    def jobs(self) -> tuple[PullSnapshot, ...]:
        """Return all of them, newest first."""
        with self._lock:
            return tuple(job.snapshot() for job in reversed(self._jobs.values()))

    async def close(self) -> None:
        """Cancel all, and take no more."""
        with self._lock:
            self._is_closed = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        for job in jobs:
            await job.finished()

    def _make_room(self) -> None:
        """Forget the oldest job that has ended, where the board is full."""
        if len(self._jobs) < self._limit:
            return
        ended = (key for key, job in self._jobs.items() if not job.snapshot().is_active)
        if (oldest := next(ended, None)) is None:
            raise QueueFullError(f"{self._limit} models are being pulled: wait, or cancel some")
        del self._jobs[oldest]

    def _count_end(self) -> None:
        self._version += 1


class Speed:
    """How fast bytes arrive, over the last `WINDOW_S` seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._arrived_bytes = 0
        self._marks = deque([(clock(), 0)])

    def note(self, arrived_bytes: int) -> None:
        """Count bytes that have just arrived."""
        self._arrived_bytes += max(0, arrived_bytes)
        if self._clock() - self._marks[-1][0] >= STEP_S:
            self._marks.append((self._clock(), self._arrived_bytes))
        self._forget_old()

    @property
    def bytes_per_s(self) -> float:
        """The speed now; 0 while too little time has gone by to tell."""
        self._forget_old()
        start_s, start_bytes = self._marks[0]
        seconds = self._clock() - start_s
        return (self._arrived_bytes - start_bytes) / seconds if seconds >= STEP_S else 0.0

    def _forget_old(self) -> None:
        while len(self._marks) > 1 and self._marks[1][0] <= self._clock() - WINDOW_S:
            self._marks.popleft()


def _sentence(name: str, error: BaseException) -> str:
    if isinstance(error, SpecChatError):
        return str(error)
    logger.error("pull of %s failed", name, exc_info=error)
    return "the app failed while pulling: see its log for the cause; pull the model again"
