"""Comparisons that outlive the process: the newest of each browser, found again and put away."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from sqlite3 import Connection, Row
from typing import get_args

from utils.chat import race_wording
from utils.chat.archive import KEEP_DELETED_S
from utils.chat.race_codec import decode_race, encode_race
from utils.chat.race_snapshots import SIDES, RaceSnapshot, RaceState, RaceSummary
from utils.errors import RequestError
from utils.storage import database as storage
from utils.storage.database import Database

KEPT = 50
QUESTION_CHARS = 200
CUT_OFF = "the app ended while this comparison ran: what had run by then is kept; start it again"
ELSEWHERE = (
    "another SpecChat on the same data folder runs this comparison: reload this page to see more"
)
_SAVE = (
    "INSERT INTO comparisons VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)"
    " ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
    " tokens_per_second_a = excluded.tokens_per_second_a,"
    " tokens_per_second_b = excluded.tokens_per_second_b, record = excluded.record"
)
_FORGET = (
    "DELETE FROM comparisons WHERE deleted_at <= :long_ago OR owner = :owner AND id NOT IN"
    " (SELECT id FROM comparisons WHERE owner = :owner ORDER BY started_at DESC LIMIT :kept)"
)
_WITH_VOTES = " FROM comparisons LEFT JOIN comparison_votes ON race_id = id"
_LISTED = (
    "SELECT id, started_at, question, comparisons.label_a, comparisons.label_b,"
    " comparisons.tokens_per_second_a, comparisons.tokens_per_second_b,"
    f" NOT is_blind OR choice IS NOT NULL AS is_revealed{_WITH_VOTES}"
    " WHERE comparisons.owner = ? AND deleted_at IS NULL ORDER BY started_at DESC LIMIT ?"
)
_ONE = (
    "SELECT id, comparisons.owner, state, run, started_at, choice, record"
    f"{_WITH_VOTES} WHERE id = ? AND deleted_at IS NULL"
)


class RaceArchive:
    """The comparisons in a database; failures are `StorageError`; safe for threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, race: RaceSnapshot) -> None:
        """Keep a comparison as far as it is, and of all by its owner only the newest."""
        row = self._row(race)
        with self._database.transaction() as connection:
            connection.execute(_SAVE, row)
            _forget(connection, race.request.owner)

    def load(self, race_id: str) -> RaceSnapshot | None:
        """Return a comparison, or None where there is none.

        One whose run of the app has ended was cut off. Raises `RequestError` where it cannot be
        read.
        """
        rows = self._database.read(_ONE, (race_id,))
        return self._read(rows[0]) if rows else None

    def list(self, owner: str, limit: int = KEPT) -> list[RaceSummary]:
        """Return the comparisons of an owner, newest first."""
        rows = self._database.read(_LISTED, (owner, limit))
        return [
            RaceSummary(**{**dict(row), "is_revealed": bool(row["is_revealed"])}) for row in rows
        ]

    def delete(self, race_id: str, owner: str) -> None:
        """Put a comparison of an owner away, until it is restored or a day has passed."""
        self._mark(race_id, owner, time.time())

    def restore(self, race_id: str, owner: str) -> None:
        """Take a deletion back."""
        self._mark(race_id, owner, None)

    def _row(self, race: RaceSnapshot) -> tuple[object, ...]:
        request = race.request
        return (
            race.id,
            request.owner,
            race.started_at,
            race.state,
            self._database.run.id,
            " ".join(request.question[: 2 * QUESTION_CHARS].split())[:QUESTION_CHARS],
            request.is_blind,
            *(race_wording.entrant_label(entrant) for entrant in (request.a, request.b)),
            *(race.tokens_per_second(side) if race.ended(side) else 0.0 for side in SIDES),
            json.dumps(encode_race(race)),
        )

    def _read(self, row: Row) -> RaceSnapshot:
        try:
            data = json.loads(row["record"])
        except ValueError as error:
            raise RequestError("this comparison cannot be read any more: start it again") from error
        state: RaceState = row["state"] if row["state"] in get_args(RaceState) else "failed"
        known = {"id": row["id"], "started_at": row["started_at"], "vote": row["choice"]}
        race = decode_race(data, row["owner"], state=state, **known)
        if not race.is_active:
            return race
        is_elsewhere = self._database.run.is_another(row["run"])
        return replace(race, state="stopped", error=ELSEWHERE if is_elsewhere else CUT_OFF)

    def _mark(self, race_id: str, owner: str, deleted_at: float | None) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE comparisons SET deleted_at = ? WHERE id = ? AND owner = ?",
                (deleted_at, race_id, owner),
            )
            _forget(connection, owner)


def _forget(connection: Connection, owner: str) -> None:
    """Remove for good what was put away long ago, and what is too much of an owner's."""
    long_ago = time.time() - KEEP_DELETED_S
    connection.execute(_FORGET, {"long_ago": long_ago, "owner": owner, "kept": KEPT})


def get_race_archive() -> RaceArchive:
    """Return the archive of this process; raises `StorageError` where nothing can be kept."""
    return RaceArchive(storage.get_database())
