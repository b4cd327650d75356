"""Comparisons being run: a race owns one, one answer after the other; pages draw its snapshots.

The engine writes one answer at a time, so that no side takes the processor from the other.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from utils.chat.divergences import explained, find_divergence
from utils.chat.jobs import GenerationJob, JobBoard
from utils.chat.race_snapshots import (
    Divergence,
    RaceRequest,
    RaceSnapshot,
    RaceState,
    Run,
    Side,
)
from utils.chat.snapshots import AnswerRequest, JobSnapshot
from utils.engine.protocol import COMPARISONS_OF
from utils.engine.runtime import EngineRuntime
from utils.storage.votes import Choice

STOPPED = "the comparison was stopped before they were looked up"

logger = logging.getLogger(__name__)


class Race:
    """One comparison as it came to its end; public methods may be called from any thread."""

    def __init__(self, state: RaceSnapshot) -> None:
        self.id = state.id
        self.request = state.request
        self._state = state
        self._lock = threading.Lock()

    def snapshot(self) -> RaceSnapshot:
        """Return the race as it stands."""
        with self._lock:
            return self._state

    def stop(self) -> None:
        """End it; what has run stays."""

    def vote(self, choice: Choice) -> None:
        """Take the vote of whoever watched it blind; raises `RequestError` where there is none."""
        with self._lock:
            self._state = self._state.voted(choice)


class RunningRace(Race):
    """One comparison, from the request to its end; `keep` gets it after every run."""

    def __init__(
        self,
        request: RaceRequest,
        *,
        board: JobBoard,
        runtime: EngineRuntime,
        keep: Callable[[RaceSnapshot], None] | None = None,
    ) -> None:
        super().__init__(RaceSnapshot(secrets.token_urlsafe(12), "running", request, time.time()))
        self._board = board
        self._runtime = runtime
        self._keep = keep
        self._running: tuple[Side, GenerationJob] | None = None
        self._explaining: asyncio.Task[Divergence] | None = None
        self._is_stopped = False
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin on the engine's loop."""
        self._runtime.thread.call(self._run())

    def snapshot(self) -> RaceSnapshot:
        """Return the race as it stands."""
        with self._lock:
            if self._running is None:
                return self._state
            side, job = self._running
            run = Run(side, self.request.entrant(side), job.snapshot())
            return replace(self._state, current=run)

    def stop(self) -> None:
        """End it; what has run stays."""
        with self._lock:
            self._is_stopped = True
            running = self._running
        if running is not None:
            running[1].cancel()
        self._runtime.thread.call(self._stop_explaining())

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; False where the time is up before."""
        return self._ended.wait(timeout_s)

    async def _run(self) -> None:
        try:
            state: RaceState = "done"
            await self._save()
            for side in self.request.order:
                state = await self._run_one(side)
                if state != "done":
                    break
                await self._save()
            await self._explain()
            with self._lock:
                self._change(state=state)
        except Exception:
            logger.exception("comparison %s failed", self.id)
            with self._lock:
                self._change(
                    state="failed",
                    error="the app failed while comparing: see its log for the cause; start again",
                )
        finally:
            try:
                await self._save()
            finally:
                self._ended.set()

    async def _save(self) -> None:
        """Have it kept as it stands; answers of others do not wait for the disk."""
        if self._keep is not None:
            await asyncio.to_thread(self._keep, self._state)

    async def _run_one(self, side: Side) -> RaceState:
        """Have one answer written, and return what becomes of the race."""
        ended: asyncio.Future[JobSnapshot] = asyncio.get_running_loop().create_future()
        job = self._board.prepare(self._ask(side), self._runtime, on_end=ended.set_result)
        with self._lock:
            if self._is_stopped:
                return "stopped"
            self._running = side, job
        job.start()
        answer = await ended
        with self._lock:
            self._running = None
            run = Run(side, self.request.entrant(side), answer)
            self._change(runs=(*self._state.runs, run))
            if answer.state == "failed":
                self._change(error=answer.error or "the answer failed without a reason")
                return "failed"
        return "stopped" if answer.state == "stopped" else "done"

    async def _explain(self) -> None:
        """Find out where the texts part, if they do, and why."""
        parted = find_divergence(self._state.runs)
        if parted is None or self.request.differs_by_draw:
            return
        self._explaining = asyncio.create_task(explained(parted, self.request, self._runtime))
        with self._lock:
            self._change(state="explaining", divergence=parted.divergence)
            is_stopped = self._is_stopped
        if is_stopped:
            self._explaining.cancel()
        try:
            known = await self._explaining
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
            known = replace(parted.divergence, problem=STOPPED)
        with self._lock:
            self._change(divergence=known)

    async def _stop_explaining(self) -> None:
        if self._explaining is not None:
            self._explaining.cancel()

    def _ask(self, side: Side) -> AnswerRequest:
        entrant = self.request.entrant(side)
        # Else whoever runs second would find in its lookup what the first one wrote.
        speculative = entrant.speculative.model_copy(update={"lookup_earlier": False})
        return AnswerRequest(
            self.request.messages,
            self.request.sampling,
            speculative,
            f"{COMPARISONS_OF}{self.request.owner}",
            replace(self.request.model, backend=entrant.backend),
        )

    def _change(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
