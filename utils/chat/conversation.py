"""Conversations: frozen turns in order, found again by an id that cannot be guessed.

They are kept in the process, not in a browser session, so that a reload or a second tab finds
them; what a store on disk needs later is all in `Turn`.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cache

from config import SamplingParams, SpeculativeConfig
from utils.backends.protocol import TARGET_OF_SETTINGS, ModelChoice
from utils.chat.jobs import GenerationJob, JobBoard
from utils.chat.snapshots import AnswerRequest, JobSnapshot
from utils.engine.protocol import ChatMessage
from utils.engine.runtime import EngineRuntime
from utils.errors import RequestError
from utils.reasoning import split_reasoning

SHELF_LIMIT = 256


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How an answer is to be written."""

    sampling: SamplingParams
    speculative: SpeculativeConfig
    system_prompt: str = ""
    model: ModelChoice = TARGET_OF_SETTINGS


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer; `answer` is None until the job `job_id` has ended."""

    question: str
    job_id: str
    settings: AnswerSettings
    answer: JobSnapshot | None = None


class Conversation:
    """The turns of one chat; may be used from several threads."""

    def __init__(self, *, owner: str = "") -> None:
        """`owner` is whose it is: what is learnt of one's texts is used for no other."""
        self.id = secrets.token_urlsafe(16)
        self.owner = owner or self.id
        self._turns: tuple[Turn, ...] = ()
        self._lock = threading.RLock()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns, oldest first."""
        return self._turns

    @property
    def is_answering(self) -> bool:
        """True while the last answer is being written."""
        return bool(self._turns) and self._turns[-1].answer is None

    def ask(
        self, question: str, settings: AnswerSettings, *, board: JobBoard, runtime: EngineRuntime
    ) -> GenerationJob:
        """Add a turn and begin its answer, or raise `RequestError`."""
        if not question.strip():
            raise RequestError("the question is empty: type something to ask")
        with self._lock:
            if self.is_answering:
                raise RequestError(
                    "an answer is still being written: wait for its end, or stop it first"
                )
            job = board.prepare(
                AnswerRequest(
                    self._messages(question, settings.system_prompt),
                    settings.sampling,
                    settings.speculative,
                    self.owner,
                    settings.model,
                ),
                runtime,
                on_end=lambda answer: self._settle(job.id, answer),
            )
            self._turns += (Turn(question, job.id, settings),)
        job.start()
        return job

    def regenerate(
        self, settings: AnswerSettings, *, board: JobBoard, runtime: EngineRuntime
    ) -> GenerationJob:
        """Ask the last question again, in place of its answer, or raise `RequestError`."""
        with self._lock:
            if not self._turns or self.is_answering:
                raise RequestError("there is no finished answer to write again: ask first")
            question = self._turns[-1].question
            self._turns = self._turns[:-1]
            return self.ask(question, settings, board=board, runtime=runtime)

    def _settle(self, job_id: str, answer: JobSnapshot) -> None:
        with self._lock:
            self._turns = tuple(
                replace(turn, answer=answer) if turn.job_id == job_id else turn
                for turn in self._turns
            )

    def _messages(self, question: str, system_prompt: str) -> tuple[ChatMessage, ...]:
        messages = []
        if system_prompt.strip():
            messages.append(ChatMessage(role="system", content=system_prompt))
        for turn in self._turns:
            if turn.answer is not None and turn.answer.text:
                messages.append(ChatMessage(role="user", content=turn.question))
                messages.append(_said(turn.answer))
        return (*messages, ChatMessage(role="user", content=question))


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


class ConversationShelf:
    """The conversations of this process; the one used longest ago goes first."""

    def __init__(self, *, limit: int = SHELF_LIMIT) -> None:
        self._conversations: OrderedDict[str, Conversation] = OrderedDict()
        self._limit = limit
        self._lock = threading.Lock()

    def put(self, conversation: Conversation) -> None:
        """Keep the conversation, as the one used last."""
        with self._lock:
            self._conversations[conversation.id] = conversation
            self._conversations.move_to_end(conversation.id)
            self._drop_oldest()

    def find(self, conversation_id: str) -> Conversation | None:
        """Return the conversation of that id, or None."""
        with self._lock:
            found = self._conversations.get(conversation_id)
            if found is not None:
                self._conversations.move_to_end(conversation_id)
            return found

    def _drop_oldest(self) -> None:
        *older, _ = self._conversations.items()
        idle = [key for key, conversation in older if not conversation.is_answering]
        for key in idle[: max(0, len(self._conversations) - self._limit)]:
            del self._conversations[key]


@cache
def get_shelf() -> ConversationShelf:
    """Return the shelf of this process."""
    return ConversationShelf()
