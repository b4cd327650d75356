"""Words of a search as SQLite's full text search takes them, and texts as it finds them.

Chinese and Japanese have no blanks between words: there every character is a word of its own, and
neighbours are found as neighbours.
"""

from __future__ import annotations

import re

MAX_QUERY_CHARS = 200
MAX_WORDS = 12

_UNSPACED = "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
_CHARACTER = re.compile(f"({_UNSPACED})")
_GAP = re.compile(f"(?<={_UNSPACED}) +(?={_UNSPACED})")
_WORD = re.compile(r"\w+")


def search_expression(query: str) -> str:
    """Return an expression for all words of a query, each as a beginning; nothing of it is syntax.

    Empty where the query has no word.
    """
    words = [word for word in _WORD.findall(query[:MAX_QUERY_CHARS]) if word.strip("_")]
    return " ".join(f'"{searchable(word).strip()}"*' for word in words[:MAX_WORDS])


def searchable(text: str) -> str:
    """Return a text as it is put where searches look."""
    return _CHARACTER.sub(r" \1 ", text)


def readable(snippet: str) -> str:
    """Return a piece of such a text on one line, as it was."""
    return _GAP.sub("", " ".join(snippet.split()))
