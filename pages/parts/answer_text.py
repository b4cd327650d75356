"""The text of an answer, in parts: those that no longer change are drawn once while it grows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import streamlit as st

from utils.chat import wording
from utils.chat.markdown import literal, safe_markdown
from utils.chat.passages import Passage, passages, pieces
from utils.chat.snapshots import JobSnapshot
from utils.chat.token_sources import source_html, source_pieces

# To the browser another label is another fold, which begins closed: this one never changes.
THOUGHT = "Thought"
# What is drawn anew many times a second is cut finer: the browser leaves alone what stays the same.
FINE_CHARS = 1000
# Most parts of a growing text are those of the last time.
_safe = lru_cache(maxsize=256)(safe_markdown)


@dataclass(frozen=True, slots=True)
class Part:
    """What is drawn as one: Markdown, tokens marked by their source, or why another went on."""

    kind: Literal["text", "sources", "handover"]
    text: str


def parts_of(answer: JobSnapshot, *, shows_sources: bool) -> tuple[Part, ...]:
    """Return an answer without its thought; with sources, all of it as it was written."""
    if shows_sources and answer.runs:
        marked = (Part("sources", source_html(piece)) for piece in source_pieces(answer.runs))
        return (*marked, *(Part("handover", known.reason) for known in answer.handovers))
    return tuple(_parts(passages(answer).answer))


def settled_parts(parts: Sequence[Part]) -> int:
    """Return how many parts of an answer stay what they are, whatever follows."""
    # With sources, handovers are told after all the text.
    texts = [part for part in parts if part.kind == "sources"] or parts
    return max(0, len(texts) - 1)


def draw_parts(parts: Iterable[Part], *, are_fine: bool = False) -> None:
    """Draw parts of an answer; `are_fine` for those that are drawn again and again."""
    for part in parts:
        if part.kind == "sources":
            st.html(part.text)
        elif part.kind == "handover":
            st.caption(f"\N{EM DASH} {literal(part.text)} \N{EM DASH}")
        else:
            for text in pieces(part.text, least_chars=FINE_CHARS) if are_fine else (part.text,):
                st.markdown(_safe(text), anchors=False)


def has_thought(answer: JobSnapshot, *, shows_sources: bool) -> bool:
    """Tell whether there is a thought to be drawn apart; with sources it is drawn as written."""
    if shows_sources and answer.runs:
        return False
    shown = passages(answer)
    return bool(shown.thought) or shown.is_thinking


def draw_thought(answer: JobSnapshot, *, key: str) -> None:
    """Draw a thought folded away, and under it that it is still going on."""
    shown = passages(answer)
    text = "".join(passage.text for passage in shown.thought)
    line = wording.thought_label(answer, text, is_thinking=shown.is_thinking)
    fold = st.expander(THOUGHT, type="compact", key=f"thought_{key}", on_change="rerun")
    if fold.open:
        with fold, st.container(key=f"thought_text_{key}"):
            draw_parts(_parts(shown.thought))
    with st.container():
        if shown.is_thinking and answer.is_active:
            st.markdown(f":shimmer[{literal(line)}]")
        else:
            st.caption(literal(line))


def draw_error(answer: JobSnapshot) -> None:
    """Say what ended an answer that failed."""
    if answer.error:
        st.error(literal(wording.sentence(answer.error)), icon=":material/error:")


def _parts(shown: Iterable[Passage]) -> Iterator[Part]:
    for passage in shown:
        if passage.handover:
            yield Part("handover", passage.handover)
        for piece in pieces(passage.text):
            yield Part("text", piece)
