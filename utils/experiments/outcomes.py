"""What the answers of an experiment came to: figures only, never a text."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from config import get_settings
from utils.chat.snapshots import JobSnapshot
from utils.errors import StorageError
from utils.experiments.rollout import Arm
from utils.storage import database as storage
from utils.storage.database import Database

OUTCOME_LIMIT = 20_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer, and what its reader thought of it: `thumb` is up or down, `speed` 1 to 5.

    `ended_at` is seconds since the epoch; `browser` is a pseudonym; rates are 0 where unknown.
    """

    answer_id: str
    experiment: int
    browser: str
    arm: Arm
    ended_at: float
    model: str
    state: str
    fell_back: bool
    tokens: int
    tokens_per_second: float
    ttft_s: float
    answer_s: float
    thumb: bool | None = None
    speed: int | None = None


def outcome_of(answer_id: str, answer: JobSnapshot, *, ended_at: float) -> Outcome | None:
    """Return what an answer came to; None where it is no part of an experiment.

    What went on with an earlier answer has a share in two, and so in none.
    """
    enrolment = answer.request.enrolment
    if enrolment is None or answer.request.begun is not None:
        return None
    return Outcome(
        answer_id,
        enrolment.experiment,
        enrolment.browser,
        enrolment.arm,
        ended_at,
        model=answer.request.model.name or get_settings().target_model,
        state=answer.state,
        fell_back=fell_back(answer),
        tokens=answer.stats.completion_tokens,
        tokens_per_second=answer.stats.tokens_per_second,
        ttft_s=answer.stats.ttft_s,
        answer_s=max(0.0, ended_at - answer.started_at),
    )


def fell_back(answer: JobSnapshot) -> bool:
    """Tell whether an answer was not written as asked: by another, or without its drafter."""
    has_lost_drafter = answer.mode == "standard" and answer.drafter is None
    return bool(answer.servers or answer.handovers) or (
        answer.request.speculative.enabled and has_lost_drafter
    )


def record_answer(answer_id: str, answer: JobSnapshot) -> Future[None] | None:
    """Keep what an answer came to, in the background; None where nothing is to be kept."""
    outcome = outcome_of(answer_id, answer, ended_at=time.time())
    if outcome is None:
        return None
    try:
        return _writer().submit(_save, outcome)
    except RuntimeError:  # the process ends, and takes no more work
        return None


def save_outcome(database: Database, outcome: Outcome) -> None:
    """Keep an outcome; the first one of an answer stands."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO experiment_answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                outcome.answer_id,
                outcome.experiment,
                outcome.browser,
                outcome.arm,
                outcome.ended_at,
                outcome.model,
                outcome.state,
                outcome.fell_back,
                outcome.tokens,
                outcome.tokens_per_second,
                outcome.ttft_s,
                outcome.answer_s,
            ),
        )


def list_outcomes(
    database: Database, experiment: int, *, limit: int = OUTCOME_LIMIT
) -> list[Outcome]:
    """Return the newest answers of an experiment with their ratings, oldest first."""
    rows = database.read(
        "SELECT answers.*, thumb, speed FROM experiment_answers AS answers"
        " LEFT JOIN answer_ratings USING (answer_id)"
        " WHERE experiment = ? ORDER BY ended_at DESC LIMIT ?",
        (experiment, limit),
    )
    return [
        Outcome(
            **{
                **dict(row),
                "fell_back": bool(row["fell_back"]),
                "thumb": None if row["thumb"] is None else bool(row["thumb"]),
            }
        )
        for row in reversed(rows)
    ]


@cache
def _writer() -> ThreadPoolExecutor:
    # Answers end on the engine's loop, which must not wait for a disk.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="experiments")


def _save(outcome: Outcome) -> None:
    try:
        save_outcome(storage.get_database(), outcome)
    except StorageError as error:
        logger.warning("answer %s is missing in the experiment: %s", outcome.answer_id, error)
