"""A comparison as a file: Markdown to read, JSON to compute with."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from utils.chat import race_wording
from utils.chat.markdown import literal
from utils.chat.race_snapshots import SIDES, RaceSnapshot, Run, is_same_text, verdict
from utils.chat.wording import figure

FORMAT = "specchat-comparison"
VERSION = 1


def race_json(race: RaceSnapshot) -> str:
    """Return all that was asked, written and measured."""
    request, found = race.request, verdict(race)
    return json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "started_at": _moment(race),
            "state": race.state,
            "model": request.model_name,
            "messages": [message.model_dump() for message in request.messages],
            "sampling": request.sampling.model_dump(),
            "sides": {
                side: {
                    "label": race_wording.entrant_label(request.entrant(side)),
                    "backend": request.entrant(side).backend,
                    "speculative": request.entrant(side).speculative.model_dump(),
                }
                for side in SIDES
            },
            "runs": [_run(run) for run in race.runs],
            "is_same_text": is_same_text(race),
            "differs_by_draw": request.differs_by_draw,
            "divergence": asdict(race.divergence) if race.divergence else None,
            "verdict": asdict(found) if found else None,
            "vote": race.vote,
        },
        indent=2,
        ensure_ascii=False,
    )


def race_markdown(race: RaceSnapshot) -> str:
    """Return a report; texts of users and models stand in fences that they cannot close."""
    lines = [
        "# Comparison",
        "",
        f"{_moment(race)}; {literal(race_wording.conditions(race.request))}",
        "",
        "## Prompt",
        "",
        *(
            line
            for message in race.request.messages
            for line in (f"{message.role.capitalize()}:", "", fenced(message.content), "")
        ),
        "## Verdict",
        "",
        literal(race_wording.verdict_sentence(race)),
        "",
        literal(race_wording.same_text_sentence(race)),
        "",
    ]
    lines += [*_table(race), ""]
    for side in SIDES:
        if answer := race.shown(side):
            title = literal(race_wording.side_label(race, side))
            lines += [f"## {title}", "", fenced(answer.text), ""]
    return "\n".join(lines)


def fenced(text: str) -> str:
    """Return text as a block of code that no text can end before its end."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}text\n{text}\n{mark}"


def _table(race: RaceSnapshot) -> list[str]:
    rows = ["| run | side | tokens | tokens/s | accepted | state |", "| ---: | --- | ---: | ---: |"]
    rows[1] += " ---: | --- |"
    for number, run in enumerate(race.runs, start=1):
        stats = run.answer.stats
        accepted = f"{stats.acceptance_rate:.0%}" if stats.drafted else ""
        rows.append(
            f"| {number} | {run.side.upper()} | {stats.completion_tokens} "
            f"| {figure(stats.tokens_per_second)} | {accepted} "
            f"| {'left out' if run.is_left_out else run.answer.state} |"
        )
    return rows


def _run(run: Run) -> dict[str, Any]:
    stats = run.answer.stats
    return {
        "side": run.side,
        "counts": run.counts,
        "state": run.answer.state,
        "text": run.answer.text,
        "token_ids": run.answer.token_ids,
        "drafter": run.answer.drafter,
        "servers": run.answer.servers,
        "reason": run.answer.reason,
        "error": run.answer.error,
        "stats": asdict(stats),
        "tokens_per_second": stats.tokens_per_second,
    }


def _moment(race: RaceSnapshot) -> str:
    return datetime.fromtimestamp(race.started_at, UTC).isoformat(timespec="seconds")
