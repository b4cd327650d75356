"""Questions and answers as values, and the tree they make: versions of a turn share a parent."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from config import SamplingParams, SpeculativeConfig
from utils.backends.protocol import TARGET_OF_SETTINGS, ModelChoice
from utils.chat.snapshots import JobSnapshot
from utils.engine.protocol import ChatMessage
from utils.errors import RequestError
from utils.experiments.rollout import Enrolment
from utils.reasoning import split_reasoning

MAX_ATTACHMENTS = 8
MAX_ATTACHMENT_CHARS = 200_000
MAX_NAME_CHARS = 255
_BACKTICKS = re.compile(r"`+")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text file that goes with a question."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How an answer is to be written; `enrolment` is its part in an experiment."""

    sampling: SamplingParams
    speculative: SpeculativeConfig
    system_prompt: str = ""
    model: ModelChoice = TARGET_OF_SETTINGS
    enrolment: Enrolment | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer; `answer` is None until the job `job_id` has ended.

    `parent_id` is the turn it follows on, None for a first one; `asked_at` is seconds since the
    epoch.
    """

    id: str
    parent_id: str | None
    question: str
    job_id: str
    settings: AnswerSettings
    answer: JobSnapshot | None = None
    asked_at: float = 0.0
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Versions:
    """The turns in place of each other, oldest first; `position` counts from 1."""

    position: int
    turn_ids: tuple[str, ...]


def new_turn(
    parent_id: str | None,
    question: str,
    attachments: tuple[Attachment, ...],
    settings: AnswerSettings,
) -> Turn:
    """Return a turn that is asked now, without a job yet; raises `RequestError`."""
    if not question.strip() and not attachments:
        raise RequestError("the question is empty: type something to ask")
    check_attachments(attachments)
    return Turn(
        new_id(),
        parent_id,
        question,
        "",
        settings,
        asked_at=time.time(),
        attachments=attachments,
    )


def new_id() -> str:
    """Return an id for a turn."""
    return secrets.token_urlsafe(12)


def branch_to(turns: Mapping[str, Turn], turn_id: str | None) -> tuple[Turn, ...]:
    """Return a turn and all that it follows on, oldest first; nothing for None."""
    branch = []
    while turn_id is not None:
        branch.append(turns[turn_id])
        turn_id = turns[turn_id].parent_id
    return tuple(reversed(branch))


def newest_leaf(turns: Mapping[str, Turn], turn_id: str | None) -> str | None:
    """Go down to the newest turn that follows, again and again; `turns` are oldest first."""
    newest_child = {turn.parent_id: turn.id for turn in turns.values()}
    while turn_id in newest_child:
        turn_id = newest_child[turn_id]
    return turn_id


def check_attachments(attachments: Iterable[Attachment]) -> None:
    """Raise `RequestError` for more or larger files than a question may have."""
    files = tuple(attachments)
    if len(files) > MAX_ATTACHMENTS:
        raise RequestError(
            f"{len(files)} files are attached, {MAX_ATTACHMENTS} is the most: attach fewer"
        )
    for file in files:
        if not file.name.strip() or len(file.name) > MAX_NAME_CHARS:
            raise RequestError(
                f"the name of an attached file has {len(file.name)} characters: use 1 to "
                f"{MAX_NAME_CHARS}"
            )
        if len(file.text) > MAX_ATTACHMENT_CHARS:
            raise RequestError(
                f"{file.name!r} has {len(file.text):,} characters, {MAX_ATTACHMENT_CHARS:,} is "
                "the most: attach a part of it"
            )


def messages_for(
    before: Iterable[Turn],
    question: str,
    attachments: Iterable[Attachment] = (),
    system_prompt: str = "",
) -> tuple[ChatMessage, ...]:
    """Return what a model is to answer; questions without an answer are left out."""
    messages = []
    if system_prompt.strip():
        messages.append(ChatMessage(role="system", content=system_prompt))
    for turn in before:
        if turn.answer is not None and turn.answer.text:
            asked = with_attachments(turn.question, turn.attachments)
            messages.append(ChatMessage(role="user", content=asked))
            messages.append(_said(turn.answer))
    return (*messages, ChatMessage(role="user", content=with_attachments(question, attachments)))


def with_attachments(question: str, attachments: Iterable[Attachment]) -> str:
    """Return a question with its files after it, each in a fence that its text cannot close."""
    parts = [question] if question.strip() else []
    for file in attachments:
        fence = fence_for(file.text)
        name = " ".join(file.name.replace("`", "'").split())
        parts.append(f"`{name}`:\n{fence}\n{file.text}\n{fence}")
    return "\n\n".join(parts)


def fence_for(text: str) -> str:
    """Return a code fence longer than any row of backticks in a text."""
    longest = max((len(row) for row in _BACKTICKS.findall(text)), default=0)
    return "`" * max(3, longest + 1)


def _said(answer: JobSnapshot) -> ChatMessage:
    """Return an answer as the next prompt gets it: a thought apart, for its template to judge."""
    text = answer.opened + answer.text
    parts = split_reasoning(text)
    if not parts.thought.strip():
        return ChatMessage(role="assistant", content=text)
    return ChatMessage(
        role="assistant",
        content=parts.answer,
        thinking=parts.thought,
        thinking_marks=parts.marks,
    )
