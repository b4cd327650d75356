"""Rows of the archive: what is written of a conversation and its turns, and read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from sqlite3 import Connection, Row
from typing import Any

from utils.chat.answer_codec import (
    cut_off,
    decode_answer,
    decode_settings,
    encode_answer,
    encode_settings,
    lost_answer,
    written_elsewhere,
)
from utils.chat.answer_history import figures_of
from utils.chat.conversation import ConversationState
from utils.chat.search_words import searchable
from utils.chat.snapshots import JobSnapshot
from utils.chat.turns import AnswerSettings, Attachment, Turn
from utils.errors import RequestError

SELECT_TURNS = (
    "SELECT turns.*, answers.record, answers.state, answers.run FROM turns"
    " LEFT JOIN answers ON answers.turn_id = turns.id WHERE turns.conversation_id = ?"
    " ORDER BY turns.number"
)
_SAVE_CONVERSATION = (
    "INSERT INTO conversations"
    " (id, owner, title, is_renamed, shown_id, turns, created_at, updated_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET title = excluded.title,"
    " is_renamed = excluded.is_renamed, shown_id = excluded.shown_id, turns = excluded.turns,"
    " updated_at = excluded.updated_at RETURNING number"
)
_SAVE_TURN = (
    "INSERT INTO turns"
    " (id, conversation_id, parent_id, question, attachments, settings, job_id, asked_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
    " parent_id = excluded.parent_id, settings = excluded.settings, job_id = excluded.job_id"
    " RETURNING number"
)
_SAVE_ANSWER = (
    "INSERT OR REPLACE INTO answers VALUES"
    " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INDEX_TITLE = "INSERT OR REPLACE INTO title_texts (rowid, title) VALUES (?, ?)"
_INDEX_TURN = "INSERT OR REPLACE INTO turn_texts (rowid, question, answer) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class TurnRows:
    """What is written of one turn; `texts` are for searches, None while an answer grows."""

    turn: tuple[object, ...]
    answer: tuple[object, ...] | None
    texts: tuple[str, str] | None


def turn_rows(state: ConversationState, turn: Turn, *, is_known: bool, run_id: str) -> TurnRows:
    """Return what a run is to write of a turn; what is asked is found at once."""
    answer = turn.answer
    row = (
        turn.id,
        state.id,
        turn.parent_id,
        turn.question,
        json.dumps([asdict(file) for file in turn.attachments]),
        json.dumps(encode_settings(turn.settings)),
        turn.job_id,
        turn.asked_at,
    )
    if answer is None:
        return TurnRows(row, None, _texts(turn, ""))
    figures = figures_of(answer, turn_id=turn.id, conversation_id=state.id, owner=state.owner)
    record = json.dumps(encode_answer(answer))
    has_texts = not (is_known and answer.is_active)
    text = "" if answer.is_active else answer.text
    answered = (*astuple(figures), record, run_id)
    return TurnRows(row, answered, _texts(turn, text) if has_texts else None)


def write_conversation(
    connection: Connection,
    state: ConversationState,
    shown_turns: int,
    title: str,
    *,
    is_new_title: bool,
) -> None:
    """Write a conversation without its turns; `title` may be an automatic one."""
    row = (
        state.id,
        state.owner,
        title,
        bool(state.title),
        state.shown_id,
        shown_turns,
        state.created_at,
        state.updated_at,
    )
    number = _write(connection, _SAVE_CONVERSATION, row)
    if is_new_title:
        connection.execute(_INDEX_TITLE, (number, searchable(title)))


def write_turn(connection: Connection, rows: TurnRows) -> None:
    """Write a turn and its answer."""
    number = _write(connection, _SAVE_TURN, rows.turn)
    if rows.answer is not None:
        connection.execute(_SAVE_ANSWER, rows.answer)
    if rows.texts is not None:
        connection.execute(_INDEX_TURN, (number, *rows.texts))


def read_turn(row: Row, owner: str, *, is_elsewhere: bool) -> Turn:
    """Return a turn with an answer, whatever can be read of it.

    An answer that was being written when it was saved is cut off, unless `is_elsewhere`: then
    another run of the app writes it.
    """
    settings = decode_settings(_json(row["settings"], {}))
    return Turn(
        row["id"],
        row["parent_id"],
        row["question"],
        row["job_id"],
        settings,
        _read_answer(row["record"], settings, owner, is_elsewhere=is_elsewhere),
        row["asked_at"],
        tuple(Attachment(**file) for file in _json(row["attachments"], [])),
    )


def _read_answer(
    record: str | None, settings: AnswerSettings, owner: str, *, is_elsewhere: bool
) -> JobSnapshot:
    try:
        answer = decode_answer(_json(record or "", None), owner)
    except RequestError:
        return lost_answer(settings, owner)
    return written_elsewhere(answer) if is_elsewhere else cut_off(answer)


def _texts(turn: Turn, answer: str) -> tuple[str, str]:
    names = " ".join(file.name for file in turn.attachments)
    return searchable(f"{turn.question} {names}"), searchable(answer)


def _write(connection: Connection, sql: str, row: Sequence[object]) -> int:
    ((number,),) = connection.execute(sql, row).fetchall()
    return int(number)


def _json(text: str, default: Any) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return default
