"""Votes in blind comparisons: which answer was preferred before anybody knew how it was written."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import Literal

from utils.storage.database import Database

Choice = Literal["a", "b", "neither"]
ArmName = Literal["standard", "speculative", "ollama"]


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote; `voted_at` is seconds since the epoch, labels say all of how a side wrote."""

    race_id: str
    owner: str
    voted_at: float
    model: str
    choice: Choice
    arm_a: ArmName
    arm_b: ArmName
    label_a: str
    label_b: str
    tokens_per_second_a: float
    tokens_per_second_b: float

    @property
    def preferred(self) -> ArmName | None:
        """The arm that was preferred; None where neither was."""
        return {"a": self.arm_a, "b": self.arm_b, "neither": None}[self.choice]


_COLUMNS = ", ".join(field.name for field in fields(Vote))


def save_vote(database: Database, vote: Vote) -> None:
    """Keep a vote; the first one on a comparison stands."""
    marks = ", ".join("?" for _ in fields(Vote))
    with database.transaction() as connection:
        connection.execute(
            f"INSERT INTO comparison_votes ({_COLUMNS}) VALUES ({marks})"  # noqa: S608
            " ON CONFLICT (race_id) DO NOTHING",
            astuple(vote),
        )


def list_votes(database: Database, *, limit: int = 10_000) -> list[Vote]:
    """Return the newest votes, newest first."""
    rows = database.read(
        f"SELECT {_COLUMNS} FROM comparison_votes ORDER BY voted_at DESC LIMIT ?",  # noqa: S608
        (limit,),
    )
    return [Vote(*row) for row in rows]
