"""Tokens marked by where they came from, as HTML in which every character of them is escaped.

Colour is never alone: each source has its own line under the text. The colours are translucent,
so that they suit light and dark pages.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator

from utils.chat.snapshots import SourceRun
from utils.events import TokenSource

STYLES: dict[TokenSource, str] = {
    "accepted": "background:rgba(34,163,98,.16);border-bottom:2px solid rgb(34,150,92)",
    "bonus": "background:rgba(58,120,230,.16);border-bottom:3px double rgb(70,130,230)",
    "resampled": "background:rgba(224,130,30,.18);border-bottom:2px dashed rgb(205,115,20)",
    "plain": "border-bottom:1px dotted rgb(128,134,142)",
}
MEANINGS: dict[TokenSource, str] = {
    "accepted": "drafted, and accepted by the target",
    "bonus": "by the target, after a fully accepted draft",
    "resampled": "by the target, in place of a rejected draft",
    "plain": "by the target, with nothing drafted",
}
TEXT_STYLE = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.75"
# As with Markdown, see `passages`: what is as long as this is sent once. A mark takes 80 at least.
PIECE_CHARS, MARK_CHARS = 10_000, 80
LEGEND_STYLE = "display:grid;gap:.45rem;font-size:.8rem"


def source_html(runs: Iterable[SourceRun]) -> str:
    """Return the text with every run of tokens marked."""
    spans = "".join(
        f'<span style="{STYLES[run.source]}" title="{MEANINGS[run.source]}">'
        f"{html.escape(run.text)}</span>"
        for run in runs
    )
    return f'<div style="{TEXT_STYLE}">{spans}</div>'


def source_pieces(runs: Iterable[SourceRun]) -> Iterator[tuple[SourceRun, ...]]:
    """Cut a text into pieces, at the ends of lines; the cuts stay while the text grows."""
    piece: list[SourceRun] = []
    size = 0
    for run in runs:
        text = run.text
        if size >= 2 * PIECE_CHARS:
            yield tuple(piece)
            piece, size = [], 0
        elif size >= PIECE_CHARS and "\n" in text:
            # The end of a piece is the end of a line by itself.
            last, _, text = text.partition("\n")
            yield (*piece, SourceRun(run.source, last))
            piece, size = [], 0
        piece.append(SourceRun(run.source, text))
        size += MARK_CHARS + len(text)
    if piece:
        yield tuple(piece)


def legend_html() -> str:
    """Return what the marks mean."""
    entries = "".join(
        f'<div><span style="{style};padding:0 .3em">{source}</span> {MEANINGS[source]}</div>'
        for source, style in STYLES.items()
    )
    return f'<div style="{LEGEND_STYLE}">{entries}</div>'
