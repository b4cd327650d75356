"""Whose turn it is: a bounded queue that serves its owners in rotation.

Owners (sessions, tabs, API keys) take turns; within one owner, first come is first served. So
whoever asks for many answers at once waits for them alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator

from utils.engine.notice import Notice
from utils.errors import QueueFullError


class Turn:
    """One place in a `FairQueue`; leave it whatever happens."""

    def __init__(self, queue: FairQueue, owner: str) -> None:
        self.owner = owner
        self._queue = queue

    @property
    def position(self) -> int:
        """How many turns have to end before this one is next, plus one; 0: not waiting."""
        return self._queue.position(self)

    @property
    def is_held(self) -> bool:
        """True from the moment it is our turn until we leave."""
        return self._queue.holder is self

    async def positions(self) -> AsyncGenerator[int, None]:
        """Yield the position whenever it changes, and end once nothing is waited for."""
        shown = 0
        while (position := self.position) > 0:
            if position != shown:
                shown = position
                yield position
            else:
                await self._queue.changes.wait()

    def leave(self) -> None:
        """Give up the turn or the place; a second time does nothing."""
        self._queue.leave(self)


class FairQueue:
    """One turn at a time, `limit` waiting, owners in rotation. All on one event loop."""

    def __init__(self, limit: int, changes: Notice) -> None:
        """`changes` is notified whenever positions may have changed."""
        self.changes = changes
        self.holder: Turn | None = None
        self._limit = limit
        self._waiting: dict[str, deque[Turn]] = {}

    def __len__(self) -> int:
        return sum(map(len, tuple(self._waiting.values())))

    def enter(self, owner: str) -> Turn:
        """Take a place at the end of the owner's line, or raise `QueueFullError`."""
        turn = Turn(self, owner)
        if self.holder is None:
            self.holder = turn
        elif len(self) >= self._limit:
            raise QueueFullError(
                f"too many answers are waiting: {len(self)} of {self._limit}; try again later"
            )
        else:
            self._waiting.setdefault(owner, deque()).append(turn)
        self.changes.notify()
        return turn

    def leave(self, turn: Turn) -> None:
        """Take `turn` out, and pass on if it was its turn."""
        if self.holder is turn:
            self.holder = self._next()
        elif turn in self._waiting.get(turn.owner, ()):
            self._waiting[turn.owner].remove(turn)
            if not self._waiting[turn.owner]:
                del self._waiting[turn.owner]
        self.changes.notify()

    def position(self, turn: Turn) -> int:
        """Return how many turns of the rotation end with `turn`; 0 where it does not wait."""
        line = self._waiting.get(turn.owner, ())
        if turn not in line:
            return 0
        ahead = list(line).index(turn)
        rotation = self._rotation()
        before = rotation[: rotation.index(turn.owner)]
        others = (
            min(len(self._waiting[owner]), ahead + (owner in before))
            for owner in rotation
            if owner != turn.owner
        )
        return ahead + 1 + sum(others)

    def _rotation(self) -> list[str]:
        """Return the owners that wait, in the order of their turns; who has it now comes last."""
        now = self.holder.owner if self.holder else None
        return sorted(self._waiting, key=lambda owner: owner == now)

    def _next(self) -> Turn | None:
        if not self._waiting:
            return None
        owner, *later = self._rotation()
        turn = self._waiting[owner].popleft()
        later += [owner] if self._waiting[owner] else []
        self._waiting = {owner: self._waiting[owner] for owner in later}
        return turn
