"""Whole conversations from the domains, in a training split and a held-out split.

Where the answer follows from the question, the two splits never share a question: its checksum
decides on which side it falls. Facts are asked in the held-out split only in words that training
does not use. Stories, small talk, functions and docstrings share their few questions.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

from ..chat import Conversation
from .code import edit_code, write_code
from .docs import explain_function
from .facts import about_app, about_app_anew
from .formats import convert
from .numbers import arithmetic, sequence
from .stories import story
from .talk import small_talk
from .text import change_case, copy_items, edit_text, read_text
from .words import Turn

Domain = Callable[[Random], Turn]

DOMAINS: dict[str, Domain] = {
    "about_app": about_app,
    "write_code": write_code,
    "sequence": sequence,
    "arithmetic": arithmetic,
    "convert": convert,
    "edit_text": edit_text,
    "change_case": change_case,
    "edit_code": edit_code,
    "copy_items": copy_items,
    "read_text": read_text,
    "story": story,
    "explain_function": explain_function,
    "small_talk": small_talk,
}
SHARES = {
    "about_app": 0.17,
    "write_code": 0.09,
    "sequence": 0.12,
    "arithmetic": 0.10,
    "convert": 0.12,
    "edit_text": 0.11,
    "change_case": 0.05,
    "edit_code": 0.05,
    "copy_items": 0.07,
    "read_text": 0.05,
    "story": 0.03,
    "explain_function": 0.03,
    "small_talk": 0.06,
}
DETERMINED = {
    "sequence",
    "arithmetic",
    "convert",
    "edit_text",
    "change_case",
    "edit_code",
    "copy_items",
    "read_text",
}
HELDOUT_ONE_IN = 20

SYSTEM = (
    "You are a helpful assistant.",
    "You are a helpful assistant. Answer briefly.",
    "You are a friendly chat assistant.",
    "You are a careful assistant that explains things in simple words.",
    "You are the assistant of a chat app with speculative decoding.",
    "You are a Python tutor.",
    "Answer clearly and politely.",
)
AGAIN = (
    "Say that again.",
    "Repeat your answer.",
    "Can you repeat that?",
    "Once more, please.",
    "Show it again.",
)
TURN_COUNTS = (1, 2, 3, 4)
TURN_SHARES = (0.55, 0.25, 0.13, 0.07)


def is_heldout(question: str) -> bool:
    """Return whether a question of a determined domain belongs to the held-out split."""
    return zlib.crc32(question.encode()) % HELDOUT_ONE_IN == 0


def ask(rng: Random, name: str, *, heldout: bool) -> Turn:
    """Return a turn of a domain from one of the splits."""
    if name == "about_app":
        return about_app_anew(rng) if heldout else about_app(rng)
    turn = DOMAINS[name](rng)
    while name in DETERMINED and is_heldout(turn.question) != heldout:
        turn = DOMAINS[name](rng)
    return turn


def conversation(rng: Random, *, heldout: bool = False) -> Conversation:
    """Return a conversation of one to four questions, some of which need an earlier answer."""
    messages: Conversation = []
    if rng.random() < 0.25:
        messages.append({"role": "system", "content": rng.choice(SYSTEM)})
    name, pending = "", None
    for _ in range(rng.choices(TURN_COUNTS, TURN_SHARES)[0]):
        if pending and rng.random() < 0.6:
            (question, answer), pending = pending, None
        elif name and rng.random() < 0.1:
            question, answer = rng.choice(AGAIN), messages[-1]["content"]
        else:
            if not name or rng.random() < 0.6:
                name = rng.choices(list(SHARES), list(SHARES.values()))[0]
            question, answer, pending = ask(rng, name, heldout=heldout)
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return messages


def write(path: Path, count: int, *, seed: int, heldout: bool) -> None:
    """Write conversations as JSONL."""
    rng = Random(seed)
    with path.open("w", encoding="utf-8") as out:
        for _ in range(count):
            messages = conversation(rng, heldout=heldout)
            out.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
