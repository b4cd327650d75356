"""Titles of conversations: the beginning of the first question, until somebody gives another."""

from __future__ import annotations

LONGEST_TITLE = 120
LONGEST_AUTOMATIC = 60
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def title_of(question: str) -> str:
    """Return the first line of a question that says something, cut between words."""
    lines = (" ".join(line.strip("#>*`~-= \t").split()) for line in question.splitlines())
    return shorten(next((line for line in lines if line), ""), LONGEST_AUTOMATIC)


def checked_title(title: str) -> str:
    """Return a title that somebody gave, on one line and of bounded length; may be empty."""
    return shorten(" ".join(title.split()), LONGEST_TITLE)


def shorten(text: str, length: int) -> str:
    """Return at most `length` characters of a line, cut between words where there are any."""
    if len(text) <= length:
        return text
    cut = text[: length - 1]
    words = cut.rsplit(" ", 1)[0] if text[length - 1] != " " else cut
    # A long word, or a language without blanks, is cut where it is.
    kept = words if len(words) > length // 2 else cut
    return kept.rstrip(" ,;:.") + ELLIPSIS
