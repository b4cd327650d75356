"""Rows of text as a table: for a terminal, as Markdown, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a header row, and rows that begin with a name."""

    title: str
    rows: Sequence[Row]


def text_table(rows: Sequence[Row]) -> str:
    """Align names to the left and figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def markdown_table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown; bars in cells are escaped."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (escaped[0], rule, *escaped[1:]))


def html_table(rows: Sequence[Row]) -> str:
    """Return the table in HTML; whatever the cells hold is text."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows[1:]
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
