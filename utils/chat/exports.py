"""Conversations as files: JSON that gives all of them back, Markdown to read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from utils.chat.answer_codec import (
    cut_off,
    decode_answer,
    decode_settings,
    encode_answer,
    encode_settings,
    lost_answer,
)
from utils.chat.conversation import Conversation, ConversationState
from utils.chat.markdown import literal, safe_markdown
from utils.chat.snapshots import JobSnapshot
from utils.chat.titles import checked_title
from utils.chat.turns import (
    AnswerSettings,
    Attachment,
    Turn,
    branch_to,
    check_attachments,
    fence_for,
    new_id,
)
from utils.errors import RequestError
from utils.experiments.ratings import FASTEST, NO_RATING, SLOWEST, Rating
from utils.reasoning import split_reasoning

FORMAT = "specchat conversation"
VERSION = 1
# Three million tokens of answers with all their figures, or 80 questions with all the attachments
# that they may have; what it takes in memory to read is several times as much.
MAX_FILE_MB = 128
MAX_FILE_CHARS = MAX_FILE_MB * 2**20
MAX_TURNS = 10_000
MAX_QUESTION_CHARS = 1_000_000
LATEST_S = 32_503_680_000.0
LARGEST = 2**63 - 1
NO_CONVERSATION = "the file holds no conversation: take a JSON file that was exported here"
_SURROGATE = re.compile(r"\\u[dD][89abAB]")


@dataclass(frozen=True, slots=True)
class Imported:
    """A conversation from a file, and what was said of its answers, by the ids they have now."""

    conversation: Conversation
    ratings: Mapping[str, Rating]


def to_json(conversation: Conversation, ratings: Mapping[str, Rating] | None = None) -> str:
    """Return all of a conversation as JSON, the answer being written as far as it is.

    `ratings` are those of its answers, by job.
    """
    known = ratings or {}
    state = conversation.state()
    turns = [
        {
            "id": turn.id,
            "parent": turn.parent_id,
            "question": turn.question,
            "attachments": [asdict(file) for file in turn.attachments],
            "asked_at": turn.asked_at,
            "settings": encode_settings(turn.settings),
            "answer": encode_answer(turn.answer) if turn.answer else None,
            **({"rating": asdict(known[turn.job_id])} if turn.job_id in known else {}),
        }
        for turn in state.turns
    ]
    data = {
        "format": FORMAT,
        "version": VERSION,
        "title": state.title,
        "created_at": state.created_at,
        "updated_at": state.updated_at,
        "shown": state.shown_id,
        "turns": turns,
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str, owner: str) -> Imported:
    """Return a new conversation like the one exported, with ids of its own.

    Raises `RequestError` for anything else than such a file.
    """
    data = _read(text)
    if data.get("format") != FORMAT:
        raise RequestError(
            "the file holds no conversation: take a JSON file that was exported here"
        )
    if data.get("version") != VERSION:
        raise RequestError(
            f"the file is of version {str(data.get('version'))[:20]}, this app reads {VERSION}: "
            "update the app"
        )
    turns = data.get("turns")
    if not isinstance(turns, list) or len(turns) > MAX_TURNS:
        raise RequestError(f"the file has no list of at most {MAX_TURNS} turns: export it again")
    ids: dict[str, str] = {}
    read = tuple(_turn(turn, ids, owner) for turn in turns)
    ratings = {turn.job_id: _rating(entry) for turn, entry in zip(read, turns, strict=True)}
    made = Conversation(owner=owner)
    now = made.created_at
    shown_id = data.get("shown")
    state = ConversationState(
        made.id,
        made.owner,
        checked_title(_text(data, "title", 10_000)),
        min(now, _moment(data, "created_at")),
        min(now, _moment(data, "updated_at") or now),
        read,
        ids.get(shown_id) if isinstance(shown_id, str) else None,
    )
    said = {job_id: rating for job_id, rating in ratings.items() if rating != NO_RATING}
    return Imported(Conversation.of(state), said)


def to_markdown(conversation: Conversation) -> str:
    """Return the branch that is shown, to be read anywhere: no text of it becomes HTML."""
    parts = [f"# {literal(conversation.title or 'Chat')}"]
    state = conversation.state()
    for turn in branch_to({turn.id: turn for turn in state.turns}, state.shown_id):
        parts += [*_question(turn), *_answer(turn)]
    return "\n\n".join(parts) + "\n"


def _question(turn: Turn) -> Iterator[str]:
    asked = datetime.fromtimestamp(turn.asked_at, UTC)
    yield f"## Question, {asked:%Y-%m-%d %H:%M} UTC"
    if turn.question.strip():
        yield _fenced(turn.question)
    for file in turn.attachments:
        yield f"Attached: {literal(file.name)}"
        yield _fenced(file.text)


def _answer(turn: Turn) -> Iterator[str]:
    answer = turn.answer
    if answer is None:
        return
    yield f"## Answer by {literal(answer.request.model.name or 'the model of the settings')}"
    parts = split_reasoning(answer.opened + answer.text)
    if parts.thought.strip():
        thought = safe_markdown(parts.thought.strip())
        yield "\n".join(["> *Thought:*", ">", *(f"> {line}" for line in thought.split("\n"))])
    if parts.answer.strip():
        yield safe_markdown(parts.answer.strip())
    if answer.error:
        yield f"*{literal(answer.error)}*"


def _fenced(text: str) -> str:
    fence = fence_for(text)
    return f"{fence}text\n{text}\n{fence}"


def _read(text: str) -> dict[str, Any]:
    if len(text) > MAX_FILE_CHARS:
        raise RequestError(
            f"the file has {len(text)} characters, {MAX_FILE_CHARS} is the most: export less"
        )
    try:
        data = json.loads(text, parse_float=_float, parse_int=_int, parse_constant=_float)
        if _SURROGATE.search(text):
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"the file is no sound JSON: {str(error)[:200]}; take a file that was exported here"
        ) from error
    if not isinstance(data, dict):
        raise RequestError(
            "the file holds no conversation: take a JSON file that was exported here"
        )
    return data


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise ValueError(f"{text[:40]} is too large")
    return number


def _int(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > LARGEST:
        raise ValueError(f"{text[:40]} is too large")
    return number


def _turn(data: object, ids: dict[str, str], owner: str) -> Turn:
    """Return a turn whose parent is among `ids`, which gets the new id of this one."""
    if not isinstance(data, dict):
        raise RequestError("a turn is no JSON object: export the conversation again")
    old, parent = data.get("id"), data.get("parent")
    if not isinstance(old, str) or old in ids:
        raise RequestError("a turn has no id, or that of another: export the conversation again")
    if parent is not None and (not isinstance(parent, str) or parent not in ids):
        raise RequestError("a turn follows on none before it: export the conversation again")
    settings = decode_settings(data.get("settings"))
    ids[old] = new_id()
    return Turn(
        ids[old],
        None if parent is None else ids[parent],
        _text(data, "question", MAX_QUESTION_CHARS),
        new_id(),
        settings,
        _answer_in(data, settings, owner),
        _moment(data, "asked_at"),
        _attachments(data.get("attachments", [])),
    )


def _answer_in(data: dict[str, Any], settings: AnswerSettings, owner: str) -> JobSnapshot:
    if data.get("answer") is None:
        return lost_answer(settings, owner)
    answer = cut_off(decode_answer(data["answer"], owner))
    _check_moment(answer.started_at, "started_at")
    numbers = [getattr(answer.stats, field.name) for field in fields(answer.stats)]
    if any(isinstance(number, int | float) and number < 0 for number in numbers):
        raise RequestError("an answer has negative figures: export the conversation again")
    return answer


def _rating(data: dict[str, Any]) -> Rating:
    rating = data.get("rating") or {}
    if isinstance(rating, dict):
        thumb, speed = rating.get("thumb"), rating.get("speed")
        is_speed = speed is None or (type(speed) is int and SLOWEST <= speed <= FASTEST)
        if is_speed and (thumb is None or isinstance(thumb, bool)):
            return Rating(thumb, speed)
    raise RequestError("the rating of an answer is no thumb or speed: export it again")


def _attachments(data: object) -> tuple[Attachment, ...]:
    if not isinstance(data, list) or not all(isinstance(file, dict) for file in data):
        raise RequestError("the attachments of a turn are no list: export the conversation again")
    files = tuple(
        Attachment(_text(file, "name", MAX_QUESTION_CHARS), _text(file, "text", MAX_FILE_CHARS))
        for file in data
    )
    check_attachments(files)
    return files


def _text(data: dict[str, Any], name: str, longest: int) -> str:
    value = data.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise RequestError(
            f"`{name}` is no text of at most {longest} characters: export the conversation again"
        )
    return value


def _moment(data: dict[str, Any], name: str) -> float:
    value = data.get(name, 0.0)
    if type(value) not in (int, float):
        raise RequestError(f"`{name}` is no number: export the conversation again")
    return _check_moment(float(value), name)


def _check_moment(seconds: float, name: str) -> float:
    if not 0 <= seconds <= LATEST_S:
        raise RequestError(
            f"`{name}` is {seconds:g}, no time in seconds since 1970: export the conversation again"
        )
    return seconds
