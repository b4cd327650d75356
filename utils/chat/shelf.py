"""The conversations in use, found by ids that cannot be guessed; the archive has the others."""

from __future__ import annotations

import atexit
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cache

from utils.chat.archive import Archive, get_archive
from utils.chat.conversation import Conversation
from utils.chat.saving import SAVE_EVERY_S, Saver
from utils.errors import StorageError

SHELF_LIMIT = 256

logger = logging.getLogger(__name__)
_lock = threading.Lock()


class ConversationShelf:
    """The conversations of this process; the one used longest ago goes first, to the archive."""

    def __init__(
        self,
        *,
        limit: int = SHELF_LIMIT,
        archive: Callable[[], Archive] | None = None,
        save_every_s: float = SAVE_EVERY_S,
    ) -> None:
        """Without an `archive` what goes is gone."""
        self._conversations: OrderedDict[str, Conversation] = OrderedDict()
        self._limit = limit
        self._lock = threading.Lock()
        self._archive = archive
        self._saver = Saver(archive, every_s=save_every_s) if archive else None

    @property
    def problem(self) -> str:
        """Why conversations are not kept at present, in a sentence; empty where they are."""
        return self._saver.problem if self._saver else ""

    def answering(self, owner: str) -> frozenset[str]:
        """Return the ids of the conversations of somebody that an answer is being written in."""
        with self._lock:
            held = tuple(self._conversations.values())
        return frozenset(one.id for one in held if one.owner == owner and one.is_answering)

    def put(self, conversation: Conversation) -> None:
        """Keep the conversation, as the one used last, and save it now and after every change.

        One that was deleted is taken back. Nothing is raised: `problem` says what failed.
        """
        self._hold(conversation)
        if self._saver is None:
            return
        if conversation.is_deleted:
            self._restore(conversation)
        if not self._saver.save(conversation) or conversation.is_answering:
            self._saver.mark(conversation)

    def find(self, conversation_id: str) -> Conversation | None:
        """Return the conversation of that id, or None where it is deleted or never was."""
        with self._lock:
            found = self._conversations.get(conversation_id)
            if found is not None:
                self._conversations.move_to_end(conversation_id)
        if found is not None and not found.is_written_elsewhere:
            return None if found.is_deleted else found
        loaded = self._load(conversation_id)
        if loaded is not None:
            self._hold(loaded)
        return loaded

    def flush(self) -> None:
        """Save at once what is to be saved soon."""
        if self._saver is not None:
            self._saver.flush()

    def close(self) -> None:
        """Save what is not saved yet, and save nothing more."""
        if self._saver is not None:
            self._saver.close()

    def _hold(self, conversation: Conversation) -> None:
        with self._lock:
            if self._saver is not None:
                conversation.on_change = self._saver.mark
            self._conversations[conversation.id] = conversation
            self._conversations.move_to_end(conversation.id)
            self._drop_oldest()

    def _load(self, conversation_id: str) -> Conversation | None:
        try:
            return self._archive().load(conversation_id) if self._archive else None
        except StorageError as error:
            logger.warning("a conversation was not found: %s", error)
            return None

    def _restore(self, conversation: Conversation) -> None:
        try:
            if self._archive is not None:
                self._archive().restore(conversation.id)
        except StorageError as error:
            logger.warning("a conversation was not restored: %s", error)

    def _drop_oldest(self) -> None:
        *older, _ = self._conversations.items()
        idle = [key for key, conversation in older if not conversation.is_answering]
        for key in idle[: max(0, len(self._conversations) - self._limit)]:
            del self._conversations[key]


@cache
def _shelf() -> ConversationShelf:
    shelf = ConversationShelf(archive=get_archive)
    atexit.register(shelf.close)
    return shelf


def get_shelf() -> ConversationShelf:
    """Return the shelf of this process."""
    with _lock:
        return _shelf()
