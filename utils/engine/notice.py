"""Waking everybody who waits for a change, from synchronous code of the same event loop."""

from __future__ import annotations

import asyncio


class Notice:
    """A condition without a lock: those who wait look again at what interests them."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Wake all who wait now."""
        woken, self._next = self._next, asyncio.Event()
        woken.set()

    async def wait(self) -> None:
        """Wait for the next `notify`."""
        await self._next.wait()
