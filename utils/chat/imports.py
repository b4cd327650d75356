"""Conversations from files that were exported: read part by part, and checked all through."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from utils.chat.answer_codec import cut_off, decode_answer, decode_settings, lost_answer
from utils.chat.conversation import Conversation, ConversationState
from utils.chat.exports import FORMAT, MAX_FILE_BYTES, MAX_TURNS, VERSION, VERSION_OF_PARTS
from utils.chat.snapshots import JobSnapshot
from utils.chat.titles import checked_title
from utils.chat.turns import AnswerSettings, Attachment, Turn, check_attachments, new_id
from utils.errors import RequestError
from utils.experiments.ratings import FASTEST, NO_RATING, SLOWEST, Rating

MAX_FILE_CHARS = MAX_FILE_BYTES
MAX_PARTS = 64
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


def from_json(text: str, owner: str) -> Imported:
    """Return a new conversation like the one exported, with ids of its own.

    Raises `RequestError` for anything else than such a file.
    """
    return from_parts([text], owner)


def from_parts(texts: Sequence[str], owner: str) -> Imported:
    """Return a new conversation like the one exported to these files, given in any order.

    One file after the other is in memory as data. Raises `RequestError` where one is missing.
    """
    ids: dict[str, str] = {}
    read: list[Turn] = []
    ratings: dict[str, Rating] = {}
    data: dict[str, Any] = {}
    for data in _chats(texts):
        for entry in data["turns"]:
            turn = _turn(entry, ids, owner)
            read.append(turn)
            if (rating := _rating(entry)) != NO_RATING:
                ratings[turn.job_id] = rating
    made = Conversation(owner=owner)
    now = made.created_at
    shown_id = data.get("shown")
    state = ConversationState(
        made.id,
        made.owner,
        checked_title(_text(data, "title", 10_000)),
        min(now, _moment(data, "created_at")),
        min(now, _moment(data, "updated_at") or now),
        tuple(read),
        ids.get(shown_id) if isinstance(shown_id, str) else None,
    )
    return Imported(Conversation.of(state), ratings)


def _chats(texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Read files one after the other in the order of their parts; several are read twice."""
    if len(texts) == 1:
        chat = _chat(texts[0])
        _check_complete([_place(chat)])
        yield chat
        return
    places = [_place_of(number, texts) for number in range(len(texts))]
    _check_complete(places)
    for _, text in sorted(zip(places, texts, strict=True)):
        yield _chat(text)


def _place_of(number: int, texts: Sequence[str]) -> tuple[str, int, int]:
    try:
        return _place(_chat(texts[number]))
    except RequestError as error:
        raise RequestError(f"file {number + 1} of {len(texts)}: {error}") from error


def _place(chat: dict[str, Any]) -> tuple[str, int, int]:
    """Return of which export a file is, of how many parts, and which."""
    if chat["version"] == VERSION:
        return "", 1, 1
    export, parts, part = (chat.get(name) for name in ("export", "parts", "part"))
    if isinstance(export, str) and type(parts) is type(part) is int:
        return export, parts, part
    raise RequestError("the file does not say which part of a chat it is: export the chat again")


def _check_complete(places: Sequence[tuple[str, int, int]]) -> None:
    if len({(export, parts) for export, parts, _ in places}) != 1 or len(places) > MAX_PARTS:
        raise RequestError("these files are not of one export: choose the parts of one chat")
    given, parts = sorted(part for *_, part in places), places[0][1]
    missing = [part for part in range(1, min(parts, MAX_PARTS) + 1) if part not in given]
    if missing:
        raise RequestError(f"part {missing[0]} of {parts} is missing: choose all parts together")
    if len(given) != parts or given != list(range(1, len(given) + 1)):
        raise RequestError("these files are no parts of one chat: import one chat after the other")


def _chat(text: str) -> dict[str, Any]:
    """Return what is in a file, which is sound around its turns."""
    data = _read(text)
    if data.get("format") != FORMAT:
        raise RequestError(NO_CONVERSATION)
    if data.get("version") not in (VERSION, VERSION_OF_PARTS):
        raise RequestError(
            f"the file is of version {str(data.get('version'))[:20]}, this app reads "
            f"{VERSION_OF_PARTS}: update the app"
        )
    turns = data.get("turns")
    if not isinstance(turns, list) or len(turns) > MAX_TURNS:
        raise RequestError(f"the file has no list of at most {MAX_TURNS} turns: export it again")
    return data


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
        raise RequestError(NO_CONVERSATION)
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
