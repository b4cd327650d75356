"""Conversations: a tree of turns of which one branch is shown."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from utils.chat.jobs import GenerationJob, JobBoard
from utils.chat.snapshots import AnswerRequest, JobSnapshot, go_on
from utils.chat.titles import checked_title, title_of
from utils.chat.turns import (
    AnswerSettings,
    Attachment,
    Turn,
    Versions,
    branch_to,
    messages_for,
    new_turn,
    newest_leaf,
)
from utils.engine.runtime import EngineRuntime
from utils.errors import RequestError

__all__ = ["AnswerSettings", "Attachment", "Conversation", "ConversationState", "Turn", "Versions"]


@dataclass(frozen=True, slots=True)
class ConversationState:
    """All of a conversation at one moment; the answer being written as far as it is.

    `title` is empty unless somebody gave one. Times are seconds since the epoch.
    """

    id: str
    owner: str
    title: str
    created_at: float
    updated_at: float
    turns: tuple[Turn, ...]
    shown_id: str | None


class Conversation:
    """The turns of one chat; may be used from several threads.

    `is_temporary` ones are kept nowhere. `on_change` is called after every change, by the thread
    that made it; `is_deleted` is set by whoever keeps it.
    """

    def __init__(self, *, owner: str = "", is_temporary: bool = False) -> None:
        """`owner` is whose it is: what is learnt of one's texts is used for no other."""
        self.id = secrets.token_urlsafe(16)
        self.owner = owner or self.id
        self.is_temporary = is_temporary
        self.is_deleted = False
        self.on_change: Callable[[Conversation], None] | None = None
        self.created_at = self.updated_at = time.time()
        self._title = ""
        self._turns: dict[str, Turn] = {}
        self._shown: tuple[Turn, ...] = ()
        self._writing: tuple[str, GenerationJob] | None = None
        self._lock = threading.RLock()

    @classmethod
    def of(cls, state: ConversationState) -> Conversation:
        """Return the conversation that was in this state; no answer is being written."""
        made = cls(owner=state.owner)
        made.id, made._title = state.id, state.title
        made.created_at, made.updated_at = state.created_at, state.updated_at
        made._turns = {turn.id: turn for turn in state.turns}
        made._show(state.shown_id if state.shown_id in made._turns else None)
        return made

    def state(self) -> ConversationState:
        """Return all of it as a value."""
        with self._lock:
            turns = dict(self._turns)
            if self._writing is not None:
                turn_id, job = self._writing
                turns[turn_id] = replace(turns[turn_id], answer=job.snapshot())
            shown_id = self._shown[-1].id if self._shown else None
            return ConversationState(
                self.id,
                self.owner,
                self._title,
                self.created_at,
                self.updated_at,
                tuple(turns.values()),
                shown_id,
            )

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of the branch that is shown, oldest first."""
        return self._shown

    @property
    def all_turns(self) -> tuple[Turn, ...]:
        """The turns of all branches, oldest first."""
        with self._lock:
            return tuple(self._turns.values())

    @property
    def title(self) -> str:
        """The title given, else the beginning of the first question; empty where there is none."""
        if self._title or not self._shown:
            return self._title
        first = self._shown[0]
        return title_of(first.question) or title_of(*(f.name for f in first.attachments[:1]))

    @property
    def is_answering(self) -> bool:
        """True while an answer is being written, in whichever branch."""
        return self._writing is not None

    @property
    def is_written_elsewhere(self) -> bool:
        """True where another run of the app was writing an answer when this was read."""
        return any(turn.answer is not None and turn.answer.is_active for turn in self.all_turns)

    @property
    def answering_turn(self) -> Turn | None:
        """The turn whose answer is being written."""
        with self._lock:
            return self._turns[self._writing[0]] if self._writing else None

    def versions_of(self, turn_id: str) -> Versions:
        """Return what was asked or answered in the place of a turn, itself included."""
        with self._lock:
            parent_id = self._turn(turn_id).parent_id
            ids = tuple(turn.id for turn in self._turns.values() if turn.parent_id == parent_id)
            return Versions(ids.index(turn_id) + 1, ids)

    def show(self, turn_id: str) -> None:
        """Show the branch through a turn, on to the newest that followed on it."""
        with self._lock:
            self._show(self._turn(turn_id).id)
        self._tell()

    def rename(self, title: str) -> None:
        """Give it a title; an empty one makes it automatic again."""
        self._title = checked_title(title)
        self._tell()

    def stop(self) -> None:
        """Stop the answer that is being written, if one is; its text stays."""
        if writing := self._writing:
            writing[1].cancel()

    def ask(
        self,
        question: str,
        settings: AnswerSettings,
        *,
        board: JobBoard,
        runtime: EngineRuntime,
        attachments: Iterable[Attachment] = (),
    ) -> GenerationJob:
        """Add a turn after the last one shown and begin its answer, or raise `RequestError`."""
        files = tuple(attachments)
        with self._lock:
            parent_id = self._shown[-1].id if self._shown else None
            turn = new_turn(parent_id, question, files, settings)
            return self._begin(turn, board, runtime)

    def edit(
        self,
        turn_id: str,
        question: str,
        settings: AnswerSettings,
        *,
        board: JobBoard,
        runtime: EngineRuntime,
    ) -> GenerationJob:
        """Ask another question in the place of a turn, which stays as a version."""
        with self._lock:
            old = self._turn(turn_id)
            turn = new_turn(old.parent_id, question, old.attachments, settings)
            return self._begin(turn, board, runtime)

    def regenerate(
        self,
        settings: AnswerSettings,
        *,
        board: JobBoard,
        runtime: EngineRuntime,
        turn_id: str | None = None,
    ) -> GenerationJob:
        """Answer a question again, the last one shown if none is named, as another version."""
        with self._lock:
            if not self._shown or self.is_answering:
                raise RequestError("there is no finished answer to write again: ask first")
            old = self._shown[-1] if turn_id is None else self._turn(turn_id)
            turn = new_turn(old.parent_id, old.question, old.attachments, settings)
            return self._begin(turn, board, runtime)

    def continue_answer(
        self, settings: AnswerSettings, *, board: JobBoard, runtime: EngineRuntime
    ) -> GenerationJob:
        """Go on with the last answer shown where it `can_go_on`, or raise `RequestError`."""
        with self._lock:
            last = self._shown[-1] if self._shown else None
            if last is None or last.answer is None:
                raise RequestError("there is no answer to go on with: ask first")
            # What is written in two parts is no fair sample of either.
            turn = replace(last, settings=replace(settings, enrolment=None), answer=None)
            request = go_on(last.answer, self._request(turn))
            return self._begin(turn, board, runtime, request)

    def delete_turn(self, turn_id: str) -> None:
        """Take out a question and its answer; what followed moves up to what stood before."""
        with self._lock:
            gone = self._turn(turn_id)
            self._check_here()
            if self._writing and self._writing[0] == turn_id:
                raise RequestError("this answer is still being written: stop it first")
            del self._turns[turn_id]
            for turn in tuple(self._turns.values()):
                if turn.parent_id == turn_id:
                    self._turns[turn.id] = replace(turn, parent_id=gone.parent_id)
            left = [turn.id for turn in self._shown if turn.id != turn_id]
            self._show(left[-1] if left else None)
        self._tell()

    def _turn(self, turn_id: str) -> Turn:
        turn = self._turns.get(turn_id)
        if turn is None:
            raise RequestError("this question was deleted meanwhile: reload the page")
        return turn

    def _check_here(self) -> None:
        if self.is_written_elsewhere:
            raise RequestError(
                "another SpecChat on the same data folder is writing an answer in this chat: wait "
                "for its end, then reload the page"
            )

    def _begin(
        self,
        turn: Turn,
        board: JobBoard,
        runtime: EngineRuntime,
        request: AnswerRequest | None = None,
    ) -> GenerationJob:
        if self.is_answering:
            raise RequestError(
                "an answer is still being written: wait for its end, or stop it first"
            )
        self._check_here()
        job = board.prepare(
            request or self._request(turn),
            runtime,
            on_end=lambda answer: self._settle(job.id, answer),
        )
        self._turns[turn.id] = replace(turn, job_id=job.id)
        self._writing = (turn.id, job)
        self.updated_at = time.time()
        self._show(turn.id)
        self._tell()
        job.start()
        return job

    def _request(self, turn: Turn) -> AnswerRequest:
        settings = turn.settings
        before = branch_to(self._turns, turn.parent_id)
        return AnswerRequest(
            messages_for(before, turn.question, turn.attachments, settings.system_prompt),
            settings.sampling,
            settings.speculative,
            # Nothing of a temporary one is found again in another conversation of its owner.
            self.id if self.is_temporary else self.owner,
            settings.model,
            enrolment=None if self.is_temporary else settings.enrolment,
        )

    def _settle(self, job_id: str, answer: JobSnapshot) -> None:
        with self._lock:
            for turn in tuple(self._turns.values()):
                if turn.job_id == job_id:
                    self._turns[turn.id] = replace(turn, answer=answer)
            if self._writing and self._writing[1].id == job_id:
                self._writing = None
            self.updated_at = time.time()
            self._show(self._shown[-1].id if self._shown else None)
        self._tell()

    def _show(self, turn_id: str | None) -> None:
        leaf = newest_leaf(self._turns, turn_id)
        self._shown = branch_to(self._turns, leaf)

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change(self)
