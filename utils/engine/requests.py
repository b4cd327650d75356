"""What was asked of the worker and is not answered yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from utils.engine.answer import Answer
from utils.engine.protocol import Failed, Happened, Inspected, Loaded, Stats
from utils.errors import SpecChatError, from_code

logger = logging.getLogger(__name__)
Reply = Loaded | Inspected | Stats


class OpenRequests:
    """Answers being written and calls waiting for their reply, by id."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}
        self._calls: dict[str, asyncio.Future[Reply]] = {}

    @property
    def has_answers(self) -> bool:
        """True while the worker writes for somebody."""
        return any(not answer.has_ended for answer in self._answers.values())

    @contextmanager
    def answer(self, answer_id: str, answer: Answer) -> Iterator[None]:
        """Route the events of an answer to it."""
        self._answers[answer_id] = answer
        try:
            yield
        finally:
            del self._answers[answer_id]

    @contextmanager
    def call(self, call_id: str) -> Iterator[asyncio.Future[Reply]]:
        """Route a reply to a future."""
        call: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = call
        try:
            yield call
        finally:
            del self._calls[call_id]
            if not call.cancel() and not call.cancelled():
                call.exception()

    async def take_event(self, message: Happened) -> bool:
        """Pass an event on; False where its answer should be cancelled, as nobody reads it."""
        answer = self._answers.get(message.id)
        return answer is None or answer.has_ended or await answer.put(message.event)

    def take_reply(self, message: Reply) -> None:
        """Pass a reply on."""
        call = self._calls.get(message.id)
        if call is not None and not call.done():
            call.set_result(message)

    def take_failure(self, message: Failed) -> None:
        """Fail what the message names."""
        if not message.id:
            logger.error("the engine did not understand a message: %s", message.message)
        self._fail(message.id, from_code(message.code, message.message))

    def fail_all(self, error: SpecChatError) -> None:
        """Fail everything: the worker is gone."""
        for request_id in [*self._answers, *self._calls]:
            self._fail(request_id, error)

    def _fail(self, request_id: str, error: SpecChatError) -> None:
        if (answer := self._answers.get(request_id)) is not None:
            answer.fail(error)
        if (call := self._calls.get(request_id)) is not None and not call.done():
            call.set_exception(error)
