"""One backend after the other, until the answer is complete.

What was written stays: the next backend goes on with the same text, and says why it does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import monotonic
from typing import assert_never

from config import SamplingParams, SpeculativeConfig
from utils.backends.local import LocalBackend
from utils.backends.protocol import NOTHING_WRITTEN, Availability, Backend, Written
from utils.engine.protocol import ChatMessage
from utils.errors import (
    BackendError,
    EngineError,
    EngineStalledError,
    ModelError,
    SpecChatError,
    UnknownModelError,
)
from utils.events import Event, Finished, Mode, Prefilled, Queued, Started, Token, Tokens
from utils.performance_monitor import (
    Baseline,
    GenerationStats,
    PerformanceMonitor,
    join_stats,
)

# What is wrong with a request stays wrong, whoever answers; a model may be missing here only.
PASSED_ON = (BackendError, EngineError, ModelError, UnknownModelError)


class FallbackBackend:
    """Tries its backends in order, each once for an answer."""

    def __init__(self, backends: Sequence[Backend], *, reason: str = "") -> None:
        """`backends`: the best first; usually the engine, the same without drafting, Ollama.

        `reason` says why it is not another one that is the first.
        """
        self._backends = tuple(backends)
        self._reason = reason

    @property
    def name(self) -> str:
        """What users call it."""
        return ", else ".join(backend.name for backend in self._backends)

    async def available(self) -> Availability:
        """Tell whether any of them can answer; if not, why none."""
        reasons = []
        for backend in self._backends:
            state = await backend.available()
            if state.is_available:
                return state
            reasons.append(f"{backend.name}: {state.reason}")
        return Availability(is_available=False, reason="; ".join(reasons))

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: SamplingParams,
        speculative: SpeculativeConfig,
        owner: str = "",
        written: Written = NOTHING_WRITTEN,
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer, whoever writes it.

        A `Mode` event tells of every change and its reason. Raises `BackendError` with all reasons
        where none could complete it, `RequestError` for what nobody can answer, and the first
        error where falling back is switched off.
        """
        course = _Course(sampling, written, self._reason)
        waiting = deque(self._backends)
        while waiting:
            backend = waiting.popleft()
            if course.has_stalled and _can_wait(backend, waiting):
                waiting.append(backend)
                continue
            try:
                events = backend.generate(
                    messages,
                    sampling=course.sampling,
                    speculative=speculative,
                    owner=owner,
                    written=course.begin(backend.name),
                )
                async with aclosing(events):
                    async for event in events:
                        for told in course.take(event):
                            yield told
                if course.is_finished:
                    return
                raise BackendError("the answer ended without an end")
            except PASSED_ON as error:
                if not speculative.fallback_enabled:
                    raise
                course.fail(backend.name, error)
                course.has_stalled = isinstance(error, EngineStalledError)
        raise BackendError(course.verdict())


def _can_wait(backend: Backend, others: Iterable[Backend]) -> bool:
    """Tell whether to ask others first: an engine that hung may hang again, as long."""
    return isinstance(backend, LocalBackend) and any(
        not isinstance(other, LocalBackend) for other in others
    )


class _Course:
    """One answer through all that write it: joins events, texts and numbers."""

    def __init__(self, sampling: SamplingParams, written: Written, reason: str) -> None:
        self.sampling = sampling
        self.written = written
        self._begun_chars = len(written.text)
        self.failures: list[tuple[str, str]] = []
        self.is_finished = False
        self.has_stalled = False
        self._monitor = PerformanceMonitor()
        self._before = self._monitor.result()
        self._start = self._part_start = monotonic()
        self._reason = reason
        self._unmarked: list[str] = []
        self._name = ""
        self._owes_mode = False

    def begin(self, name: str) -> Written:
        """Let the next backend begin; return what it is to go on with."""
        self._name = name
        return self.written

    def take(self, event: Event) -> Iterator[Event]:
        """Yield what is to be told of an event of the present backend."""
        match event:
            case Started():
                # Whoever goes on, or begins again, has the same seed.
                self.sampling = self.sampling.model_copy(update={"seed": event.seed})
                self._note_writer(event)
                if not self._has_more:
                    self._monitor.prompt_tokens = event.prompt_tokens
                    self._monitor.reused_tokens = event.reused_tokens
                    yield event
            case Queued() | Prefilled():
                if not self._has_more:
                    yield event
            case Mode():
                self._owes_mode = False
                reason = self._with_reason(event.reason)
                yield replace(event, reason=reason, handover=self._handover())
            case Tokens():
                yield from self._write(event)
            case Finished():
                self.is_finished = True
                yield replace(event, stats=self._whole(event.stats))
            case _:
                assert_never(event)

    def fail(self, name: str, error: SpecChatError) -> None:
        """Note that a backend failed; what it wrote is what the next one goes on with."""
        self._reason = f"{name} failed: {error}"
        if str(error) not in {reason for _, reason in self.failures}:
            self._unmarked.append(self._reason)
        self.failures.append((name, str(error)))
        self._owes_mode = True
        self._part_start = monotonic()
        self._before = self._monitor.result()

    def verdict(self) -> str:
        """Say why nobody could answer: one reason once, several with who gave them."""
        reasons = {reason for _, reason in self.failures}
        if len(reasons) == 1:
            return reasons.pop()
        told = "; ".join(f"{name}: {reason}" for name, reason in self.failures)
        return f"nothing could answer: {told}"

    @property
    def _has_more(self) -> bool:
        """True once something is written beyond what had begun."""
        return len(self.written.text) > self._begun_chars

    def _note_writer(self, event: Started) -> None:
        """Keep what tells how the text begins and whose token ids are known."""
        written = self.written
        if not written:
            self.written = replace(written, opened=event.opened, model=event.model)
        elif written.model != event.model:
            self.written = replace(written, token_ids=(), model=event.model)

    def _write(self, event: Tokens) -> Iterator[Event]:
        if self._owes_mode:
            self._owes_mode = False
            yield Mode("standard", None, self._reason, handover=self._handover())
        self._unmarked.clear()
        offset_s = self._part_start - self._start
        tokens = tuple(replace(t, time_s=t.time_s + offset_s) for t in event.tokens)
        if tokens and not self._monitor.ttft_s:
            self._monitor.ttft_s = tokens[0].time_s
        # What one of unknown plain speed wrote a part of is compared with nobody's.
        is_comparable = not self._before.rounds or self._before.baseline.samples
        baseline = event.baseline if is_comparable else Baseline()
        self._monitor.baseline = baseline
        self._monitor.extend(event.rounds)
        self.written = _extended(self.written, tokens)
        yield replace(event, tokens=tokens, baseline=baseline)

    def _handover(self) -> str:
        if not self._unmarked:
            return ""
        return f"{'; '.join(self._unmarked)}; {self._name} went on from here"

    def _with_reason(self, reason: str) -> str:
        return "; ".join(part for part in (self._reason, reason) if part)

    def _whole(self, last: GenerationStats) -> GenerationStats:
        if not self.failures:
            return last
        if self._before.rounds == 0:
            return replace(last, ttft_s=self._monitor.ttft_s or last.ttft_s)
        return join_stats(self._before, last)


def _extended(written: Written, tokens: Sequence[Token]) -> Written:
    token_ids = tuple(token.token_id for token in tokens)
    are_known = written.tokens == len(written.token_ids) and all(n >= 0 for n in token_ids)
    return Written(
        written.text + "".join(token.text for token in tokens),
        written.tokens + len(tokens),
        written.token_ids + token_ids if are_known else (),
        written.opened,
        written.model,
    )
