"""What the answers that were kept say in numbers, for pages that look back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from sqlite3 import Row

from config import get_settings
from utils.chat.answer_codec import cut_off, decode_answer
from utils.chat.snapshots import JobSnapshot
from utils.errors import RequestError
from utils.experiments.outcomes import fell_back
from utils.performance_monitor import ratio
from utils.storage.database import Database


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """One answer in numbers; times in seconds, `started_at` since the epoch, rates per second.

    `drafter` is the one that drafted most, empty where nothing was drafted; `backend` is `engine`
    or `ollama`, whichever wrote last; `error` is empty where nothing failed; `draft_length` is the
    policy that was asked for. `baseline_tps` is 0 where the plain speed is not known.
    """

    turn_id: str
    conversation_id: str
    owner: str
    model: str
    drafter: str
    backend: str
    mode: str
    state: str
    started_at: float
    prompt_tokens: int
    completion_tokens: int
    prefill_s: float
    ttft_s: float
    decode_s: float
    rounds: int
    drafted: int
    accepted: int
    baseline_tps: float
    draft_s: float
    verify_s: float
    total_s: float
    fell_back: bool
    error: str
    draft_length: str


_COLUMNS = tuple(field.name for field in fields(AnswerFigures))


def figures_of(
    answer: JobSnapshot, *, turn_id: str, conversation_id: str, owner: str
) -> AnswerFigures:
    """Return what an answer says in numbers; times by round are of the newest rounds only."""
    stats = answer.stats
    return AnswerFigures(
        turn_id=turn_id,
        conversation_id=conversation_id,
        owner=owner,
        model=answer.request.model.name or get_settings().target_model,
        drafter=_main_drafter(answer),
        backend="ollama" if answer.writer else "engine",
        mode=answer.mode or "",
        state=answer.state,
        started_at=answer.started_at,
        prompt_tokens=stats.prompt_tokens,
        completion_tokens=stats.completion_tokens,
        prefill_s=stats.prefill_s,
        ttft_s=stats.ttft_s,
        decode_s=stats.decode_s,
        rounds=stats.rounds,
        drafted=stats.drafted,
        accepted=stats.accepted,
        baseline_tps=stats.baseline.tokens_per_second,
        draft_s=sum(stats.draft_s for stats in answer.rounds),
        verify_s=sum(stats.verify_s for stats in answer.rounds),
        total_s=sum(stats.total_s for stats in answer.rounds),
        fell_back=_fell_back(answer),
        error=answer.error or "",
        draft_length=answer.request.speculative.draft_length,
    )


def list_answers(database: Database, owner: str, limit: int = 200) -> list[AnswerFigures]:
    """Return the newest ended answers of an owner, newest first."""
    rows = database.read(
        "SELECT answers.* FROM answers"
        " JOIN conversations ON conversations.id = conversation_id AND deleted_at IS NULL"
        " WHERE answers.owner = ? AND state IN ('done', 'stopped', 'failed')"
        " ORDER BY started_at DESC LIMIT ?",
        (owner, limit),
    )
    return [_figures(row) for row in rows]


def load_answer(database: Database, turn_id: str) -> JobSnapshot | None:
    """Return all that is known of an answer, or None where it was deleted or cannot be read."""
    rows = database.read(
        "SELECT record, answers.owner FROM answers"
        " JOIN conversations ON conversations.id = conversation_id"
        " WHERE turn_id = ? AND deleted_at IS NULL",
        (turn_id,),
    )
    try:
        return _answer(rows[0]) if rows else None
    except (ValueError, RequestError):
        return None


def measured_speeds(database: Database) -> Mapping[tuple[str, str], tuple[float, float, int]]:
    """Return (tokens per second, speedup, answers) by model and drafter, of all owners.

    The speedup is 0 where no plain speed is known; the drafter is empty for plain answers. What
    Ollama wrote, or what fell back on the way, says nothing about a pair.
    """
    rows = database.read(
        "SELECT model, drafter, count(*) AS answers, sum(completion_tokens) AS tokens,"
        " sum(decode_s) AS seconds,"
        " sum(decode_s) FILTER (WHERE baseline_tps > 0) AS compared_s,"
        " sum(completion_tokens / baseline_tps) FILTER (WHERE baseline_tps > 0) AS plain_s"
        " FROM answers WHERE backend = 'engine' AND NOT fell_back AND completion_tokens > 0"
        " AND decode_s > 0 AND state IN ('done', 'stopped') GROUP BY model, drafter"
    )
    return {
        (row["model"], row["drafter"]): (
            ratio(row["tokens"], row["seconds"]),
            ratio(row["plain_s"] or 0.0, row["compared_s"] or 0.0),
            row["answers"],
        )
        for row in rows
    }


def _answer(row: Row) -> JobSnapshot:
    return cut_off(decode_answer(json.loads(row["record"]), row["owner"]))


def _figures(row: Row) -> AnswerFigures:
    values = {name: row[name] for name in _COLUMNS}
    return AnswerFigures(**{**values, "fell_back": bool(row["fell_back"])})


def _main_drafter(answer: JobSnapshot) -> str:
    drafted: Counter[str] = Counter()
    for stats in answer.rounds:
        if stats.drafter and stats.drafted:
            drafted[stats.drafter] += stats.drafted
    if drafted:
        return drafted.most_common(1)[0][0]
    return (answer.drafter or "") if answer.stats.drafted else ""


def _fell_back(answer: JobSnapshot) -> bool:
    """Tell whether it was not written as asked: an Ollama that was chosen is no fallback."""
    was_chosen = answer.request.model.backend == "ollama" and not answer.handovers
    return fell_back(answer) and not was_chosen
