"""Saves conversations behind those who change them: an answer never waits for the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from utils.chat.archive import Archive
from utils.chat.conversation import Conversation
from utils.errors import StorageError

SAVE_EVERY_S = 1.0
SLOWDOWN = 20
CLOSE_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


class Saver:
    """Saves what it is told of, and while an answer is being written again every second.

    It takes at most a twentieth of the time: on a slow disk it saves less often. What could not be
    saved is tried again with the next change, or after a second.
    """

    def __init__(
        self, open_archive: Callable[[], Archive], *, every_s: float = SAVE_EVERY_S
    ) -> None:
        """`problem` is a sentence while nothing can be kept, else empty."""
        self.problem = ""
        self._open_archive = open_archive
        self._every_s = every_s
        self._marked: dict[str, Conversation] = {}
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_urgent = False
        self._is_closing = False

    def mark(self, conversation: Conversation) -> None:
        """Have a conversation saved soon; returns at once, and raises nothing."""
        if conversation.is_temporary:
            return
        with self._wake:
            self._marked[conversation.id] = conversation
            # What grows waits for its second; the end of an answer, or another change, does not.
            self._is_urgent |= not conversation.is_answering
            if self._thread is None and not self._is_closing:
                self._thread = threading.Thread(target=self._run, name="saver", daemon=True)
                self._thread.start()
            self._wake.notify()

    def save(self, conversation: Conversation) -> bool:
        """Save a conversation now; False where that failed, `problem` says why."""
        try:
            self._open_archive().save(conversation)
        except StorageError as error:
            if not self.problem:
                logger.warning("conversations are not kept: %s", error)
            self.problem = f"conversations are not kept at present: {error}"
            return False
        except Exception:  # a fault here must not end the thread: others are to be saved
            logger.exception("conversation %s was not saved", conversation.id)
            self.problem = "a conversation was not kept: see the log of the app for the cause"
            return False
        self.problem = ""
        return True

    def flush(self) -> None:
        """Save all that is marked, now."""
        with self._wake:
            batch, self._marked, self._is_urgent = self._marked, {}, False
        for conversation in batch.values():
            if not self.save(conversation) or conversation.is_answering:
                with self._wake:
                    self._marked.setdefault(conversation.id, conversation)

    def close(self) -> None:
        """Save what is left, and end."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._is_closing:
            with self._wake:
                self._wake.wait_for(lambda: self._is_urgent or self._is_closing, pause_s)
                self._wake.wait_for(lambda: bool(self._marked) or self._is_closing)
            begin = time.monotonic()
            self.flush()
            pause_s = max(self._every_s, SLOWDOWN * (time.monotonic() - begin))
        # What was marked while the last batch was saved.
        self.flush()
