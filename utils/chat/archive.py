"""Conversations that outlive the process: saved, found again, searched, put away."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cache
from sqlite3 import Row
from weakref import WeakKeyDictionary, WeakValueDictionary

from utils.chat.archive_rows import (
    SELECT_TURNS,
    read_turn,
    turn_rows,
    write_conversation,
    write_turn,
)
from utils.chat.conversation import Conversation, ConversationState
from utils.chat.search_words import readable, search_expression
from utils.chat.turns import Turn
from utils.errors import RequestError, StorageError
from utils.storage import database as storage
from utils.storage.database import Database

KEEP_DELETED_S = 24 * 3600.0
ACTIVE = ("queued", "prefilling", "writing")
_SUMMARIES = (
    "SELECT id, title, updated_at, turns FROM conversations"
    " WHERE owner = :owner AND deleted_at IS NULL AND turns > 0"
)
_FOUND = (
    " AND (number IN (SELECT rowid FROM title_texts WHERE title_texts MATCH :words)"
    " OR id IN (SELECT conversation_id FROM turns WHERE number IN"
    " (SELECT rowid FROM turn_texts WHERE turn_texts MATCH :words)))"
)
_NEWEST = " ORDER BY updated_at DESC, number DESC LIMIT :limit OFFSET :offset"
_SNIPPET = (
    "SELECT snippet(turn_texts, -1, '', '', '\N{HORIZONTAL ELLIPSIS}', 12)"
    " FROM turn_texts WHERE turn_texts MATCH ? AND rowid IN"
    " (SELECT number FROM turns WHERE conversation_id = ?) LIMIT 1"
)
_TURN_FIELDS = tuple(field.name for field in fields(Turn))
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation in a list; `snippet` is where a search found its words, else empty."""

    id: str
    title: str
    updated_at: float
    turns: int
    snippet: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """What of a conversation is in the database as it is."""

    title: str = ""
    turns: dict[str, Turn] = field(default_factory=dict)


class Archive:
    """The conversations in a database; all failures are `StorageError`.

    Methods may be called from any thread. A conversation in use is the same object for all.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.RLock()
        self._live: WeakValueDictionary[str, Conversation] = WeakValueDictionary()
        self._kept: WeakKeyDictionary[Conversation, _Kept] = WeakKeyDictionary()

    def save(self, conversation: Conversation) -> None:
        """Keep a conversation as it stands, unless it is temporary; writes what has changed."""
        if conversation.is_temporary:
            return
        with self._lock:
            self._live[conversation.id] = conversation
            kept = self._kept.get(conversation, _Kept())
            title, shown, state = conversation.title, len(conversation.turns), conversation.state()
            turns = {turn.id: turn for turn in state.turns}
            rows = [
                turn_rows(state, turn, is_known=turn.id in kept.turns, run_id=self._database.run.id)
                for turn in state.turns
                if not _is_same(turn, kept.turns.get(turn.id))
            ]
            gone = [(turn_id,) for turn_id in kept.turns.keys() - turns.keys()]
            with self._database.transaction() as connection:
                write_conversation(
                    connection, state, shown, title, is_new_title=title != kept.title
                )
                connection.executemany("DELETE FROM turns WHERE id = ?", gone)
                for row in rows:
                    write_turn(connection, row)
            self._kept[conversation] = _Kept(title, turns)

    def load(self, conversation_id: str) -> Conversation | None:
        """Return a conversation, or None where there is none of this id or it is deleted.

        One that another run of the app writes in is read anew each time.
        """
        with self._lock:
            live = self._live.get(conversation_id)
            if live is not None and not live.is_written_elsewhere:
                return None if live.is_deleted else live
            rows = self._database.read(
                "SELECT * FROM conversations WHERE id = ? AND deleted_at IS NULL",
                (conversation_id,),
            )
            return self._open(rows[0]) if rows else None

    def list(
        self, owner: str, query: str = "", *, limit: int = 50, offset: int = 0
    ) -> list[ConversationSummary]:
        """Return the conversations of an owner, newest first.

        With a query, those with a title, or a question and its answer, in which each word of it
        begins a word.
        """
        words = search_expression(query)
        if query.strip() and not words:
            return []
        rows = self._database.read(
            _SUMMARIES + (_FOUND if words else "") + _NEWEST,
            {"owner": owner, "words": words, "limit": limit, "offset": offset},
        )
        return [
            ConversationSummary(**dict(row), snippet=self._snippet(row["id"], words))
            for row in rows
        ]

    def rename(self, conversation_id: str, title: str) -> None:
        """Give a title; an empty one makes it automatic again. Raises `RequestError`."""
        conversation = self.load(conversation_id)
        if conversation is None:
            raise RequestError("this chat was deleted meanwhile: reload the page")
        conversation.rename(title)
        self.save(conversation)

    def delete(self, conversation_id: str) -> None:
        """Put a conversation away until it is restored or purged; its answer is stopped.

        What was put away long ago is purged: an app that runs for weeks does not keep it.
        """
        with self._lock:
            self.purge()
            self._mark(conversation_id, time.time())
            if live := self._live.get(conversation_id):
                live.is_deleted = True
                live.stop()

    def restore(self, conversation_id: str) -> None:
        """Take a deletion back."""
        with self._lock:
            self._mark(conversation_id, None)
            if live := self._live.get(conversation_id):
                live.is_deleted = False

    def purge(self, older_than_s: float = KEEP_DELETED_S) -> None:
        """Remove for good what was deleted longer ago."""
        with self._lock:
            with self._database.transaction() as connection:
                gone = connection.execute(
                    "DELETE FROM conversations WHERE deleted_at <= ? RETURNING id",
                    (time.time() - older_than_s,),
                ).fetchall()
            for (conversation_id,) in gone:
                if live := self._live.pop(conversation_id, None):
                    self._kept.pop(live, None)

    def mend(self) -> None:
        """Say of every answer that a run which ended left half written that it was cut off."""
        with self._lock:
            rows = self._database.read(
                "SELECT * FROM conversations WHERE id IN"
                " (SELECT conversation_id FROM answers"
                " WHERE state IN ('queued', 'prefilling', 'writing'))"
            )
            for row in rows:
                if row["id"] not in self._live:
                    self._open(row)

    def _open(self, row: Row) -> Conversation:
        stored = self._database.read(SELECT_TURNS, (row["id"],))
        elsewhere = {turn["id"] for turn in stored if self._is_elsewhere(turn)}
        turns = tuple(
            read_turn(turn, row["owner"], is_elsewhere=turn["id"] in elsewhere) for turn in stored
        )
        conversation = Conversation.of(
            ConversationState(
                row["id"],
                row["owner"],
                row["title"] if row["is_renamed"] else "",
                row["created_at"],
                row["updated_at"],
                turns,
                row["shown_id"],
            )
        )
        conversation.is_deleted = row["deleted_at"] is not None
        whole = {turn["id"] for turn in stored if turn["state"] not in ACTIVE} | elsewhere
        kept = {turn.id: turn for turn in turns if turn.id in whole}
        self._live[conversation.id] = conversation
        self._kept[conversation] = _Kept(row["title"], kept)
        if len(kept) < len(turns):
            with suppress(StorageError):
                self.save(conversation)
        return conversation

    def _is_elsewhere(self, turn: Row) -> bool:
        return turn["state"] in ACTIVE and self._database.run.is_another(turn["run"])

    def _snippet(self, conversation_id: str, words: str) -> str:
        rows = self._database.read(_SNIPPET, (words, conversation_id)) if words else []
        return readable(rows[0][0]) if rows else ""

    def _mark(self, conversation_id: str, deleted_at: float | None) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE conversations SET deleted_at = ? WHERE id = ?",
                (deleted_at, conversation_id),
            )


def _is_same(turn: Turn, known: Turn | None) -> bool:
    """Tell whether nothing was replaced; values are never compared, texts are long."""
    return known is not None and all(
        getattr(turn, name) is getattr(known, name) for name in _TURN_FIELDS
    )


@cache
def _archive_in(database: Database) -> Archive:
    archive = Archive(database)
    archive.mend()
    archive.purge()
    return archive


def get_archive() -> Archive:
    """Return the archive of this process; raises `StorageError` where nothing can be kept."""
    with _lock:
        return _archive_in(storage.get_database())
