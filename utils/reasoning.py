"""Thoughts apart from answers, in text of models that think aloud: strings only.

The rule: a text holds a thought if it begins with an opening mark, blanks aside, and the thought
ends at the first closing mark of the same kind. All other marks are text, in code or elsewhere. A
prompt may end with the opening mark; then it belongs in front of what the model wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARKS = {"<think>": "</think>", "<thinking>": "</thinking>", "[THINK]": "[/THINK]"}
ALL_MARKS = frozenset({*MARKS, *MARKS.values()})
THOUGHT_BEGIN, THOUGHT_END = "<think>\n", "\n</think>\n\n"
# Characters in which the end of a thought is found again, however tokens cut it.
LONGEST_MARK = max(map(len, MARKS.values()))

_BLANK_LINES = r"(?:[ \t\r]*\n)*"
_ANY_OPENING = "|".join(map(re.escape, MARKS))
_OPENING = re.compile(rf"\s*({_ANY_OPENING}){_BLANK_LINES}")
_OPENED = re.compile(rf"(?:{_ANY_OPENING})\s*\Z")
_BLANKS = re.compile(_BLANK_LINES)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A text in four parts, which joined give it back; marks hold the blank lines around them."""

    opening: str
    thought: str
    closing: str
    answer: str
    is_open: bool

    @property
    def marks(self) -> tuple[str, str]:
        """What stands around the thought; an open one is closed as its model would."""
        if not self.is_open:
            return self.opening, self.closing
        return self.opening, f"\n{MARKS[self.opening.strip()]}\n\n"


def split_reasoning(text: str, *, is_growing: bool = False) -> Reasoning:
    """Take a text apart; while it is growing, what may become a mark is shown nowhere."""
    found = _OPENING.match(text)
    if found is None:
        if is_growing and any(mark.startswith(text.lstrip()) for mark in MARKS):
            return Reasoning(text, "", "", "", is_open=False)
        return Reasoning("", "", "", text, is_open=False)
    begin, mark = found.end(), MARKS[found[1]]
    place = text.find(mark, begin)
    if place < 0:
        stop = _begun_mark(text, begin, mark) if is_growing else len(text)
        return Reasoning(found[0], text[begin:stop], text[stop:], "", is_open=True)
    thought = text[begin:place].rstrip()
    blanks = _BLANKS.match(text, place + len(mark))
    end = blanks.end() if blanks else place + len(mark)
    closing = text[begin + len(thought) : end]
    return Reasoning(found[0], thought, closing, text[end:], is_open=False)


def opened_thought(text: str) -> str:
    """Return the opening mark that a prompt ends with, and blanks after it; else nothing."""
    found = _OPENED.search(text)
    return found[0] if found else ""


def ends_thought(text: str) -> bool:
    """Tell whether a closing mark of any kind is in the text."""
    return any(mark in text for mark in MARKS.values())


def _begun_mark(text: str, begin: int, mark: str) -> int:
    """Return where a mark begins that the end of the text may become."""
    longest = min(len(mark) - 1, len(text) - begin)
    size = next((n for n in range(longest, 0, -1) if text.endswith(mark[:n])), 0)
    return len(text) - size
