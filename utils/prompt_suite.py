"""Prompts by category, for benchmarks and for comparing; `prompts.json` holds nothing else.

A prompt is a question, or the turns of a conversation that user and assistant take in turn and that
the user ends. The embedded pair knows English only, so what is translated is one format to another.
Where it can be asked in words that it was not trained on, it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

Turns = tuple[str, ...]
Suite = dict[str, list[Turns]]

PROMPTS = Path(__file__).with_name("prompts.json")


def load_suite(
    path: Path = PROMPTS, *, limit: int | None = None, categories: Sequence[str] | None = None
) -> Suite:
    """Return the prompts of every category, or of those named, at most `limit` of each.

    Raises `ValueError` for a category that there is not.
    """
    found: dict[str, list[str | list[str]]] = json.loads(path.read_text(encoding="utf-8"))
    unknown = set(categories or ()) - set(found)
    if unknown:
        raise ValueError(
            f"no such category: {', '.join(sorted(unknown))}; there are {', '.join(found)}"
        )
    return {
        category: [_turns(prompt) for prompt in prompts[:limit]]
        for category, prompts in found.items()
        if not categories or category in categories
    }


def left_over(suite: Suite, path: Path = PROMPTS) -> list[str]:
    """Return the first questions of the prompts that a limited suite leaves out."""
    asked = {turns for prompts in suite.values() for turns in prompts}
    everything = load_suite(path).values()
    return [turns[0] for prompts in everything for turns in prompts if turns not in asked]


def _turns(prompt: str | list[str]) -> Turns:
    return (prompt,) if isinstance(prompt, str) else tuple(prompt)
