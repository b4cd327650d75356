"""The answers of an experiment as a table for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import UTC, datetime

from utils.experiments.outcomes import Outcome

COLUMNS = tuple(field.name for field in fields(Outcome))
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(outcomes: Iterable[Outcome]) -> str:
    """Return one line an answer; no cell is taken for a formula, and times are in UTC."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for outcome in outcomes:
        row = asdict(outcome)
        row["ended_at"] = datetime.fromtimestamp(outcome.ended_at, UTC).isoformat("T", "seconds")
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    # A spreadsheet runs what begins so, where it comes from a file that looks harmless.
    return f"'{text}" if text.startswith(_FORMULA) else text
