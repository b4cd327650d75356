"""What readers think of answers, by the id of the answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from sqlite3 import Connection

from utils.errors import RequestError
from utils.storage.database import Database

SLOWEST, FASTEST = 1, 5


@dataclass(frozen=True, slots=True)
class Rating:
    """Thumb up or down, and the speed from 1, slow, to 5, fast; None where nothing was said."""

    thumb: bool | None = None
    speed: int | None = None


NO_RATING = Rating()


def load_rating(database: Database, answer_id: str) -> Rating:
    """Return what was said of an answer."""
    return load_ratings(database, [answer_id]).get(answer_id, NO_RATING)


def load_ratings(database: Database, answer_ids: Iterable[str]) -> dict[str, Rating]:
    """Return what was said of answers; those of which nothing was said are left out."""
    rows = database.read(
        "SELECT answer_id, thumb, speed FROM answer_ratings"
        " WHERE answer_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(answer_ids)),),
    )
    return {
        row["answer_id"]: Rating(None if row["thumb"] is None else bool(row["thumb"]), row["speed"])
        for row in rows
    }


def save_rating(database: Database, answer_id: str, rating: Rating) -> None:
    """Keep what is said of an answer in place of what was; nothing said leaves nothing kept."""
    save_ratings(database, {answer_id: rating})


def save_ratings(database: Database, ratings: Mapping[str, Rating]) -> None:
    """Keep what is said of several answers, all of it or nothing."""
    for rating in ratings.values():
        if rating.speed is not None and not SLOWEST <= rating.speed <= FASTEST:
            raise RequestError(
                f"the speed is no rating: found {rating.speed}; allowed is {SLOWEST} to {FASTEST}"
            )
    with database.transaction() as connection:
        for answer_id, rating in ratings.items():
            _write(connection, answer_id, rating)


def _write(connection: Connection, answer_id: str, rating: Rating) -> None:
    if rating == NO_RATING:
        connection.execute("DELETE FROM answer_ratings WHERE answer_id = ?", (answer_id,))
        return
    connection.execute(
        "INSERT INTO answer_ratings VALUES (?, ?, ?, ?) ON CONFLICT (answer_id)"
        " DO UPDATE SET thumb = excluded.thumb, speed = excluded.speed,"
        " rated_at = excluded.rated_at",
        (answer_id, rating.thumb, rating.speed, time.time()),
    )
