"""The comparisons in use, by ids that cannot be guessed; the archive has the others."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from utils.chat.jobs import JobBoard
from utils.chat.race_archive import ELSEWHERE, RaceArchive, get_race_archive
from utils.chat.race_runs import Race, RunningRace
from utils.chat.race_snapshots import RaceRequest, RaceSnapshot, RaceSummary
from utils.engine.runtime import EngineRuntime
from utils.errors import RequestError, StorageError

SHELF_LIMIT = 64
T = TypeVar("T")

logger = logging.getLogger(__name__)


class RaceBoard:
    """The comparisons of this process: every running one, and the newest that ended or were opened.

    The archive has the others; without one, what goes is gone.
    """

    def __init__(
        self, *, limit: int = SHELF_LIMIT, archive: Callable[[], RaceArchive] | None = None
    ) -> None:
        """`problem` is a sentence while nothing can be kept, else empty."""
        self.problem = ""
        self._races: OrderedDict[str, Race] = OrderedDict()
        self._limit = limit
        self._archive = archive
        self._lock = threading.Lock()

    def start(
        self, request: RaceRequest, *, board: JobBoard, runtime: EngineRuntime
    ) -> RunningRace:
        """Begin a comparison; raises `RequestError` while another of the same owner runs."""
        race = RunningRace(request, board=board, runtime=runtime, keep=self._keep)
        with self._lock:
            if any(known.snapshot().is_active for known in self._of(request.owner)):
                raise RequestError(
                    "a comparison is still running: wait for its end, or stop it first"
                )
            self._hold(race)
        race.start()
        return race

    def find(self, race_id: str) -> Race | None:
        """Return the comparison of that id, or None where it is deleted or never was."""
        with self._lock:
            held = self._races.get(race_id)
        return held or self._load(race_id)

    def newest(self, owner: str) -> Race | None:
        """Return the last comparison that somebody began, or None."""
        if not owner:
            return None
        with self._lock:
            held = max(self._of(owner), key=_began, default=None)
        kept = self.kept(owner)[:1]
        if kept and (held is None or _began(held) < kept[0].started_at):
            return self.find(kept[0].id) or held
        return held

    def kept(self, owner: str) -> list[RaceSummary]:
        """Return the comparisons that somebody will find again, newest first."""
        return self._ask(lambda archive: archive.list(owner), [])

    def delete(self, race_id: str, owner: str) -> None:
        """Put a comparison of this owner away until it is restored.

        Raises `RequestError` while it runs, and `StorageError`.
        """
        with self._lock:
            held = self._races.get(race_id)
            if held is not None and held.snapshot().is_active:
                raise RequestError("this comparison is running: stop it first")
            if self._archive is not None:
                self._archive().delete(race_id, owner)
            if held is not None and held.request.owner == owner:
                del self._races[race_id]

    def restore(self, race_id: str, owner: str) -> None:
        """Take a deletion back; raises `StorageError`."""
        if self._archive is not None:
            self._archive().restore(race_id, owner)

    def _load(self, race_id: str) -> Race | None:
        try:
            seen = self._ask(lambda archive: archive.load(race_id), None)
        except RequestError as error:
            logger.warning("comparison %s was not found: %s", race_id, error)
            return None
        if seen is None:
            return None
        race = Race(seen)
        # What another run of the app goes on with is read anew each time.
        if seen.error != ELSEWHERE:
            with self._lock:
                # Another window may have opened it meanwhile, and voted.
                if (held := self._races.get(race_id)) is not None:
                    return held
                self._hold(race)
        return race

    def _keep(self, race: RaceSnapshot) -> None:
        def save(archive: RaceArchive) -> None:
            archive.save(race)
            # Reading goes on where nothing can be written: only this tells that it can.
            self.problem = ""

        self._ask(save, None)

    def _ask(self, act: Callable[[RaceArchive], T], default: T) -> T:
        """Return what the archive answers, `default` where there is none or it fails."""
        if self._archive is None:
            return default
        try:
            answer = act(self._archive())
        except StorageError as error:
            if not self.problem:
                logger.warning("comparisons are not kept: %s", error)
            self.problem = f"comparisons are not kept at present: {error}"
            return default
        return answer

    def _of(self, owner: str) -> list[Race]:
        return [race for race in self._races.values() if race.request.owner == owner]

    def _hold(self, race: Race) -> None:
        self._races[race.id] = race
        ended = [key for key, race in self._races.items() if not race.snapshot().is_active]
        for key in ended[: max(0, len(self._races) - self._limit)]:
            del self._races[key]


def _began(race: Race) -> float:
    return race.snapshot().started_at


@cache
def get_races() -> RaceBoard:
    """Return the board of this process."""
    return RaceBoard(archive=get_race_archive)
