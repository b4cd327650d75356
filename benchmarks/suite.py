"""The prompts, by category; `prompts.json` holds nothing else.

Where the embedded pair can be asked in words that it was not trained on, it is.
"""

from __future__ import annotations

import json
from pathlib import Path

Suite = dict[str, list[str]]

PROMPTS = Path(__file__).with_name("prompts.json")


def load_suite(path: Path = PROMPTS, *, limit: int | None = None) -> Suite:
    """Return the prompts of every category, at most `limit` of each."""
    suite: Suite = json.loads(path.read_text(encoding="utf-8"))
    return {category: prompts[:limit] for category, prompts in suite.items()}
