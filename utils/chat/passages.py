"""What is drawn of an answer: thought and answer, each cut where another went on writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from utils.chat.markdown import open_fence
from utils.chat.snapshots import Handover, JobSnapshot
from utils.reasoning import split_reasoning


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
