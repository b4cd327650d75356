"""The events of one answer between the worker's reader and whoever asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from utils.engine.notice import Notice
from utils.errors import RequestError, SpecChatError
from utils.events import Event, Finished, Tokens

BACKLOG = 16_384
PATIENCE_S = 30.0


class Answer:
    """A bounded buffer of events: 16,384 tokens and events may wait for a slow reader.

    `on_end` is called once, when the worker is done with the answer or nobody waits for it.
    """

    def __init__(
        self, on_end: Callable[[], None], *, backlog: int = BACKLOG, patience_s: float = PATIENCE_S
    ) -> None:
        self._on_end = on_end
        self._backlog = backlog
        self._patience_s = patience_s
        self._events: deque[Event] = deque()
        self._size = 0
        self._error: SpecChatError | None = None
        self._ended = False
        self._changes = Notice()

    async def put(self, event: Event) -> bool:
        """Add an event, waiting for room; False, and the answer fails, if none is made in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while self._size >= self._backlog and not self._ended:
                    await self._changes.wait()
        if self._size >= self._backlog:
            seconds = f"{self._patience_s:.0f} s"
            self.fail(RequestError(f"the answer was cancelled: nobody read it for {seconds}"))
            return False
        self._events.append(event)
        self._size += _size(event)
        if isinstance(event, Finished):
            self.end()
        self._changes.notify()
        return True

    def fail(self, error: SpecChatError) -> None:
        """End the answer with an error, after what is in the buffer already."""
        if not self._ended:
            self._error = error
            self.end()

    def end(self) -> None:
        """Expect nothing more."""
        if not self._ended:
            self._ended = True
            self._changes.notify()
            self._on_end()

    @property
    def has_ended(self) -> bool:
        """True once nothing more comes from the worker."""
        return self._ended

    async def get(self) -> Event:
        """Take out the next event, or raise the error that ended the answer."""
        while not self._events:
            if self._error is not None:
                raise self._error
            await self._changes.wait()
        event = self._events.popleft()
        self._size -= _size(event)
        self._changes.notify()
        return event


def _size(event: Event) -> int:
    return 1 + (len(event.tokens) if isinstance(event, Tokens) else 0)
