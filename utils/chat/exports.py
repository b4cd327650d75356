"""Conversations as files: JSON that gives all of them back, in parts where it is long."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from utils.chat.answer_codec import encode_answer, encode_settings
from utils.chat.conversation import Conversation, ConversationState
from utils.experiments.ratings import Rating

FORMAT = "specchat conversation"
VERSION, VERSION_OF_PARTS = 1, 2
# Three million tokens of answers with all their figures, or 80 questions with all the attachments
# that they may have; what it takes in memory to read is several times as much.
MAX_FILE_MB = 128
# As browsers count, which send no longer one.
MAX_FILE_BYTES = MAX_FILE_MB * 10**6
MAX_TURNS = 10_000
# What is around the turns of a file: a title, times and ids.
HEAD_BYTES = 64 * 2**10


def to_json(conversation: Conversation, ratings: Mapping[str, Rating] | None = None) -> str:
    """Return all of a conversation as JSON, the answer being written as far as it is.

    `ratings` are those of its answers, by job.
    """
    state = conversation.state()
    return _file(state, VERSION, _turn_texts(state, ratings or {}))


def to_parts(
    conversation: Conversation, ratings: Mapping[str, Rating] | None = None
) -> tuple[str, ...]:
    """Return the same in as many files as it takes for each of them to be imported."""
    state = conversation.state()
    parts: list[list[str]] = [[]]
    free_bytes = MAX_FILE_BYTES - HEAD_BYTES
    for text in _turn_texts(state, ratings or {}):
        taken_bytes = len(text.encode()) + 1
        free_bytes -= taken_bytes
        if parts[-1] and (free_bytes < 0 or len(parts[-1]) == MAX_TURNS):
            parts.append([])
            free_bytes = MAX_FILE_BYTES - HEAD_BYTES - taken_bytes
        parts[-1].append(text)
    if len(parts) == 1:
        return (_file(state, VERSION, parts[0]),)
    # Parts of one chat as it stood at one time belong together; its id is an address, and secret.
    export = sha256(f"{state.id} {state.updated_at}".encode()).hexdigest()[:16]
    return tuple(
        _file(state, VERSION_OF_PARTS, texts, export=export, part=number, parts=len(parts))
        for number, texts in enumerate(parts, start=1)
    )


def _file(state: ConversationState, version: int, turns: Iterable[str], **part: str | int) -> str:
    head = {
        "format": FORMAT,
        "version": version,
        **part,
        "title": state.title,
        "created_at": state.created_at,
        "updated_at": state.updated_at,
        "shown": state.shown_id,
    }
    return f'{_compact(head)[:-1]},"turns":[{",".join(turns)}]}}'


def _turn_texts(state: ConversationState, ratings: Mapping[str, Rating]) -> Iterator[str]:
    for turn in state.turns:
        yield _compact(
            {
                "id": turn.id,
                "parent": turn.parent_id,
                "question": turn.question,
                "attachments": [asdict(file) for file in turn.attachments],
                "asked_at": turn.asked_at,
                "settings": encode_settings(turn.settings),
                "answer": encode_answer(turn.answer) if turn.answer else None,
                **({"rating": asdict(ratings[turn.job_id])} if turn.job_id in ratings else {}),
            }
        )


def _compact(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
