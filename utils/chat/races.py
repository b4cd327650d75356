"""Comparisons being run: a race owns one, one answer after the other; pages draw its snapshots.

The engine writes one answer at a time, so that no side takes the processor from the other.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from functools import cache
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
from utils.engine.runtime import EngineRuntime
from utils.errors import RequestError
from utils.storage.votes import Choice

SHELF_LIMIT = 64
STOPPED = "the comparison was stopped before they were looked up"

logger = logging.getLogger(__name__)


class Race:
    """One comparison, from the request to its end; public methods may be called from any thread."""

    def __init__(self, request: RaceRequest, *, board: JobBoard, runtime: EngineRuntime) -> None:
        self.id = secrets.token_urlsafe(12)
        self.request = request
        self._board = board
        self._runtime = runtime
        self._state = RaceSnapshot(self.id, "running", request, time.time())
        self._running: tuple[Side, GenerationJob] | None = None
        self._explaining: asyncio.Task[Divergence] | None = None
        self._is_stopped = False
        self._lock = threading.Lock()
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

    def vote(self, choice: Choice) -> None:
        """Take the vote of whoever watched it blind; raises `RequestError` where there is none."""
        with self._lock:
            if not self._state.may_vote:
                raise RequestError("there is nothing to vote on: both answers must be there first")
            self._change(vote=choice)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; False where the time is up before."""
        return self._ended.wait(timeout_s)

    async def _run(self) -> None:
        try:
            state: RaceState = "done"
            for side in self.request.order:
                state = await self._run_one(side)
                if state != "done":
                    break
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
            self._ended.set()

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
        if parted is None:
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
            f"comparisons of {self.request.owner}",
            replace(self.request.model, backend=entrant.backend),
        )

    def _change(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)


class RaceBoard:
    """The comparisons of this process, by id: every running one, and the newest that ended."""

    def __init__(self, *, limit: int = SHELF_LIMIT) -> None:
        self._races: OrderedDict[str, Race] = OrderedDict()
        self._limit = limit
        self._lock = threading.Lock()

    def start(self, request: RaceRequest, *, board: JobBoard, runtime: EngineRuntime) -> Race:
        """Begin a comparison; raises `RequestError` while another of the same owner runs."""
        race = Race(request, board=board, runtime=runtime)
        with self._lock:
            if any(known.snapshot().is_active for known in self._of(request.owner)):
                raise RequestError(
                    "a comparison is still running: wait for its end, or stop it first"
                )
            self._races[race.id] = race
            self._forget_oldest()
        race.start()
        return race

    def find(self, race_id: str) -> Race | None:
        """Return the comparison of that id, or None."""
        with self._lock:
            return self._races.get(race_id)

    def newest(self, owner: str) -> Race | None:
        """Return the last comparison that somebody began, or None."""
        with self._lock:
            return next(iter(reversed(self._of(owner))), None) if owner else None

    def _of(self, owner: str) -> list[Race]:
        return [race for race in self._races.values() if race.request.owner == owner]

    def _forget_oldest(self) -> None:
        ended = [key for key, race in self._races.items() if not race.snapshot().is_active]
        for key in ended[: max(0, len(self._races) - self._limit)]:
            del self._races[key]


@cache
def get_races() -> RaceBoard:
    """Return the board of this process."""
    return RaceBoard()
