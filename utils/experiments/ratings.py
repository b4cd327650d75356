"""What readers think of answers, by the id of the answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

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
    rows = database.read(
        "SELECT thumb, speed FROM answer_ratings WHERE answer_id = ?", (answer_id,)
    )
    if not rows:
        return NO_RATING
    thumb = rows[0]["thumb"]
    return Rating(None if thumb is None else bool(thumb), rows[0]["speed"])


def save_rating(database: Database, answer_id: str, rating: Rating) -> None:
    """Keep what is said of an answer in place of what was; nothing said leaves nothing kept."""
    if rating.speed is not None and not SLOWEST <= rating.speed <= FASTEST:
        raise RequestError(
            f"the speed is no rating: found {rating.speed}; allowed is {SLOWEST} to {FASTEST}"
        )
    with database.transaction() as connection:
        if rating == NO_RATING:
            connection.execute("DELETE FROM answer_ratings WHERE answer_id = ?", (answer_id,))
            return
        connection.execute(
            "INSERT INTO answer_ratings VALUES (?, ?, ?, ?) ON CONFLICT (answer_id)"
            " DO UPDATE SET thumb = excluded.thumb, speed = excluded.speed,"
            " rated_at = excluded.rated_at",
            (answer_id, rating.thumb, rating.speed, time.time()),
        )
