"""What the worker says: a thread that writes messages, joins fast tokens and beats the heart.

Tokens are written at most every 25 ms, joined; everything else at once and in order. Encoding and
writing happen beside the decoding, which releases the interpreter while it computes.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from utils.engine.protocol import Failed, Happened, Heartbeat, Message, encode
from utils.errors import ProtocolError
from utils.events import Event, Started, Tokens

FLUSH_S = 0.025
HEARTBEAT_S = 1.0
HAND_OVER_S = 0.25
WAITING_MESSAGES = 4096


class _Occurrence(NamedTuple):
    """An event on its way: it becomes a message only once joined with its neighbours."""

    id: str
    event: Event


class Outbox:
    """Writes to the file descriptor `fd`; `progress_age` tells the age of the last progress."""

    def __init__(self, fd: int, progress_age: Callable[[], float]) -> None:
        self._fd = fd
        self._progress_age = progress_age
        self._changed = threading.Condition()
        self._waiting: deque[Message | _Occurrence] = deque()
        self._urgent = False
        self._closed = False
        self._is_first = False
        self._flush_at = 0.0
        self._beat_at = 0.0
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        """Write `message` at once, after all that came before."""
        self._put(message, urgent=True)

    def happened(self, request_id: str, event: Event) -> None:
        """Write an event of an answer: tokens when due, anything else at once."""
        if isinstance(event, Started):
            self._is_first = True
        is_first = self._is_first and isinstance(event, Tokens)
        self._put(_Occurrence(request_id, event), urgent=is_first or not isinstance(event, Tokens))
        if is_first:
            self._is_first = False
            self._hand_over()

    def _hand_over(self) -> None:
        """Let the writer take what waits: fast decoding would keep the interpreter from it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self._closed, HAND_OVER_S)

    def close(self, timeout_s: float) -> None:
        """Write what is left, for so long at most."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _put(self, message: Message | _Occurrence, *, urgent: bool) -> None:
        with self._changed:
            while len(self._waiting) >= WAITING_MESSAGES and not self._closed:
                self._changed.wait()
            if self._closed:
                return
            wakes = urgent or not self._waiting
            self._waiting.append(message)
            self._urgent = self._urgent or urgent
            if wakes:
                self._changed.notify_all()

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            try:
                _write(self._fd, b"".join(map(_encoded, _joined(batch))))
            except OSError:
                # The app is gone; the reader of stdin ends the worker.
                with self._changed:
                    self._closed = True
                    self._changed.notify_all()
                return

    def _take(self) -> list[Message | _Occurrence] | None:
        """Wait for something due; `None` after the end."""
        with self._changed:
            while not self._is_due() and not self._closed:
                due_at = min(self._beat_at, self._flush_at if self._waiting else self._beat_at)
                self._changed.wait(max(0.0, due_at - time.monotonic()))
            if self._closed and not self._waiting:
                return None
            batch = list(self._waiting)
            self._waiting.clear()
            self._urgent = False
            self._changed.notify_all()
        now = time.monotonic()
        if any(_stream(message) is not None for message in batch):
            self._flush_at = now + FLUSH_S
        if now >= self._beat_at:
            self._beat_at = now + HEARTBEAT_S
            # Who waits for a slow reader of ours is not stalled.
            age = 0.0 if len(batch) >= WAITING_MESSAGES else self._progress_age()
            batch.append(Heartbeat(progress_age_s=age))
        return batch

    def _is_due(self) -> bool:
        now = time.monotonic()
        tokens_due = bool(self._waiting) and now >= self._flush_at
        return self._urgent or tokens_due or now >= self._beat_at


def _stream(message: Message | _Occurrence) -> str | None:
    """Return whose tokens the message carries, if any."""
    if isinstance(message, _Occurrence) and isinstance(message.event, Tokens):
        return message.id
    return None


def _joined(batch: list[Message | _Occurrence]) -> Iterator[Message]:
    """Yield messages, neighbouring tokens of one answer in one."""
    for answer_id, group in groupby(batch, key=_stream):
        for message in group if answer_id is None else [_join_tokens(answer_id, group)]:
            yield _happened(message) if isinstance(message, _Occurrence) else message


def _join_tokens(answer_id: str, group: Iterable[Message | _Occurrence]) -> _Occurrence:
    parts = [part.event for part in group if isinstance(part, _Occurrence)]
    events = [event for event in parts if isinstance(event, Tokens)]
    joined = Tokens(
        tokens=tuple(token for event in events for token in event.tokens),
        rounds=tuple(stats for event in events for stats in event.rounds),
        baseline=events[-1].baseline,
    )
    return _Occurrence(answer_id, joined)


def _happened(occurrence: _Occurrence) -> Happened:
    # What comes from the decoder needs no check: the other end makes one.
    return Happened.model_construct(id=occurrence.id, event=occurrence.event)


def _encoded(message: Message) -> bytes:
    """Return the line of a message; of one that cannot be sent, that its request failed."""
    try:
        return encode(message)
    except ProtocolError as error:
        request_id = getattr(message, "id", "")
        return encode(Failed(id=request_id, code=error.code, message=str(error)))


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
