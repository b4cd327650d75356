"""What is drawn of an answer: thought and answer, each cut where another went on writing.

Long texts are drawn in pieces. The cuts of a text stay where they are while it grows, so that all
pieces but the last are drawn, and sent to a browser, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from utils.chat.markdown import next_fence, open_fence
from utils.chat.snapshots import Handover, JobSnapshot
from utils.reasoning import split_reasoning

# Streamlit sends an element of 10,000 bytes or more once, and after that its hash alone.
PIECE_CHARS = 10_000
LONGEST_PIECE_CHARS = 2 * PIECE_CHARS

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
# What may stand on its own after an empty line: no part of a list, a quotation or a table.
_BEGINS_BLOCK = re.compile(r"[^\s>|*+\-\d]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of Markdown; `handover` is why another wrote it than what stands before it."""

    text: str
    handover: str = ""


@dataclass(frozen=True, slots=True)
class Passages:
    """An answer as it is shown; `is_thinking` while its thought has no end."""

    thought: tuple[Passage, ...]
    answer: tuple[Passage, ...]
    is_thinking: bool


def passages(answer: JobSnapshot) -> Passages:
    """Take an answer apart, marks of thoughts left out."""
    if not answer.text:
        return Passages((), (), is_thinking=False)
    parts = split_reasoning(answer.opened + answer.text, is_growing=answer.is_active)
    begin = len(parts.opening) - len(answer.opened)
    end = begin + len(parts.thought) + len(parts.closing)
    early = [known for known in answer.handovers if parts.is_open or known.at_chars < end]
    late = answer.handovers[len(early) :]
    return Passages(
        _cut(parts.thought, begin, early), _cut(parts.answer, end, late), is_thinking=parts.is_open
    )


def answer_text(answer: JobSnapshot) -> str:
    """Return an answer without its thought, as it was written."""
    return split_reasoning(answer.opened + answer.text).answer if answer.text else ""


def _cut(text: str, start: int, handovers: Sequence[Handover]) -> tuple[Passage, ...]:
    """Cut a text that stands at `start` in its answer; code that is cut goes on as code."""
    passages, begin, fence, reason = [], 0, "", ""
    for handover in handovers:
        place = min(max(handover.at_chars - start, begin), len(text))
        passages.append(Passage(fence + text[begin:place], reason))
        fence = open_fence(text[:place])
        begin, reason = place, handover.reason
    passages.append(Passage(fence + text[begin:], reason))
    return tuple(passage for passage in passages if passage.text or passage.handover)


def pieces(text: str, *, least_chars: int = PIECE_CHARS) -> tuple[str, ...]:
    """Cut Markdown into pieces of so much or a little more; code that is cut goes on as code.

    Cuts are made between paragraphs, and elsewhere only where there are none for long.
    """
    done, begin, place, head, formula = [], 0, 0, "", False
    first, fence, is_blank = "", "", False
    for line in _lines(text):
        size = place - begin
        may_end = is_blank and not fence and not formula and _BEGINS_BLOCK.match(line)
        if size >= LONGEST_PIECE_CHARS or (size >= least_chars and may_end):
            done.append(head + text[begin:place])
            begin, head = place, first
        first, fence = next_fence(line.rstrip("\n"), first, fence)
        formula ^= not fence and line.strip() == "$$"
        is_blank = not line.strip()
        place += len(line)
    return (*done, head + text[begin:]) if text else ()


def _lines(text: str) -> Iterator[str]:
    """Return the lines of a text, each with its end; of an endless one, parts between words."""
    for line in _LINE.findall(text):
        rest: str = line
        while len(rest) > LONGEST_PIECE_CHARS:
            end = rest.rfind(" ", 0, LONGEST_PIECE_CHARS) + 1 or LONGEST_PIECE_CHARS
            yield rest[:end]
            rest = rest[end:]
        yield rest
