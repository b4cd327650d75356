"""Texts that stand for control tokens, broken up where a user wrote them: strings only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from utils.errors import TemplateError

_PRIVATE_USE = range(0xE000, 0xF900)


def unused_character(texts: Iterable[str]) -> str:
    """Return a private character that none of the texts has; raises `TemplateError`."""
    used = set[str]().union(*texts)
    character = next((chr(code) for code in _PRIVATE_USE if chr(code) not in used), None)
    if character is None:
        raise TemplateError("conversation uses every private character: remove some of them")
    return character


def break_controls(content: str, control_texts: Sequence[str], marker: str) -> str:
    """Return `content` with a marker inside every control text; those of one character go."""
    for text in control_texts:
        if len(text) == 1:
            content = content.replace(text, "")
    starts = {
        match.start()
        for text in control_texts
        if len(text) > 1 and text in content
        for match in re.finditer(f"(?={re.escape(text)})", content)
    }
    for start in sorted(starts, reverse=True):
        content = content[: start + 1] + marker + content[start + 1 :]
    return content


def fence_edges(content: str, control_texts: Sequence[str], marker: str) -> str:
    """Return `content` with a marker at each end that could be part of a control text.

    Such a text could begin in what stands before a content, or end in what follows it.
    """
    parts = [(text[size:], text[:size]) for text in control_texts for size in range(1, len(text))]
    front = marker if any(content.startswith(end) for end, _ in parts) else ""
    back = marker if any(content.endswith(start) for _, start in parts) else ""
    return f"{front}{content}{back}"
