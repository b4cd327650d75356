"""Answers being written: a job owns one of them, pages only draw snapshots of it.

A job runs on the engine's loop and outlives the page that started it: a click, a reload, another
tab or a closed one leaves it alone. The board finds it again by its id.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import aclosing
from functools import cache

from utils.backends.protocol import NOTHING_WRITTEN
from utils.chat.answer_record import AnswerRecord
from utils.chat.snapshots import AnswerRequest, JobSnapshot
from utils.engine.runtime import EngineRuntime
from utils.errors import SpecChatError
from utils.experiments.outcomes import record_answer

OnEnd = Callable[[JobSnapshot], None]
BOARD_LIMIT = 256

logger = logging.getLogger(__name__)


class GenerationJob:
    """One answer, from the request to its end; public methods may be called from any thread."""

    def __init__(
        self, request: AnswerRequest, runtime: EngineRuntime, *, on_end: OnEnd | None = None
    ) -> None:
        self.id = secrets.token_urlsafe(12)
        self._record = AnswerRecord(request)
        self._runtime = runtime
        self._on_end = on_end
        self._lock = threading.Lock()
        self._task: asyncio.Task[None] | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin on the engine's loop."""
        self._runtime.thread.call(self._run())

    def snapshot(self) -> JobSnapshot:
        """Return the answer as it stands; the same object while nothing has changed."""
        with self._lock:
            return self._record.snapshot()

    def cancel(self) -> None:
        """Stop; what was written stays."""
        if not self._ended.is_set():
            self._runtime.thread.call(self._stop())

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; False where the time is up before."""
        return self._ended.wait(timeout_s)

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        try:
            await self._record_events()
        except SpecChatError as error:
            self._fail(str(error))
        except Exception:
            logger.exception("answer %s failed", self.id)
            self._fail("the app failed while answering: see its log for the cause; ask again")
        finally:
            self._end()

    async def _record_events(self) -> None:
        request = self._record.request
        events = self._runtime.answers.generate(
            request.messages,
            sampling=request.sampling,
            speculative=request.speculative,
            owner=request.owner,
            model=request.model,
            written=request.begun.written if request.begun else NOTHING_WRITTEN,
            drop_oldest=True,
        )
        async with aclosing(events):
            async for event in events:
                with self._lock:
                    self._record.take(event)

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _fail(self, error: str) -> None:
        with self._lock:
            self._record.fail(error)

    def _end(self) -> None:
        with self._lock:
            if self._record.snapshot().is_active:
                self._record.stop()
            last = self._record.snapshot()
        try:
            if self._on_end is not None:
                self._on_end(last)
        finally:
            record_answer(self.id, last)
        self._ended.set()


class JobBoard:
    """All answers of this process, by id: every running one, and the newest that ended."""

    def __init__(self, *, limit: int = BOARD_LIMIT) -> None:
        self._jobs: dict[str, GenerationJob] = {}
        self._limit = limit
        self._lock = threading.Lock()

    def prepare(
        self, request: AnswerRequest, runtime: EngineRuntime, *, on_end: OnEnd | None = None
    ) -> GenerationJob:
        """Return a job to be started; `on_end` gets its last snapshot, on the engine's loop."""
        job = GenerationJob(request, runtime, on_end=on_end)
        with self._lock:
            self._jobs[job.id] = job
            self._forget_oldest()
        return job

    def find(self, job_id: str) -> GenerationJob | None:
        """Return the job, or None where it ended long ago or never was."""
        with self._lock:
            return self._jobs.get(job_id)

    def running(self) -> tuple[JobSnapshot, ...]:
        """Return the answers that are being written."""
        with self._lock:
            answers = [job.snapshot() for job in self._jobs.values()]
        return tuple(answer for answer in answers if answer.is_active)

    def _forget_oldest(self) -> None:
        ended = [key for key, job in self._jobs.items() if not job.snapshot().is_active]
        for key in ended[: max(0, len(self._jobs) - self._limit)]:
            del self._jobs[key]


@cache
def get_board() -> JobBoard:
    """Return the board of this process."""
    return JobBoard()
