"""The engine as a backend, with drafting or without."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from config import SamplingParams, SpeculativeConfig
from utils.backends.protocol import NOTHING_WRITTEN, Availability, Written
from utils.engine.client import EngineClient
from utils.engine.protocol import ChatMessage
from utils.errors import EngineError
from utils.events import Event, Finished, Token, Tokens
from utils.performance_monitor import PerformanceMonitor, RoundStats


class LocalBackend:
    """Answers with the engine; `drafts` False leaves drafting out, whatever is asked for."""

    def __init__(self, engine: EngineClient, *, drafts: bool = True) -> None:
        self._engine = engine
        self._drafts = drafts

    @property
    def name(self) -> str:
        """What users call it."""
        return "the engine" if self._drafts else "the engine without drafting"

    async def available(self) -> Availability:
        """Tell whether the engine is well; one that starts, loads or is busy will answer."""
        health = self._engine.health
        is_well = health.state not in ("stopped", "failed")
        return Availability(is_well, "" if is_well else health.reason or "the engine is stopped")

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: SamplingParams,
        speculative: SpeculativeConfig,
        owner: str = "",
        written: Written = NOTHING_WRITTEN,
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer.

        What follows on `written` is found by writing it again from the same seed, which gives the
        same text; where it does not, `EngineError` is raised.
        """
        if written and sampling.seed is None and not sampling.is_greedy:
            raise EngineError("the engine cannot go on with a text: its seed is not known")
        events = self._engine.generate(
            messages,
            sampling=sampling,
            speculative=speculative.model_copy(
                update={"enabled": speculative.enabled and self._drafts}
            ),
            owner=owner,
        )
        again = _Again(written)
        async with aclosing(events):
            async for event in events:
                if not written:
                    yield event
                elif (rest := again.without_written(event)) is not None:
                    yield rest


class _Again:
    """An answer that is written a second time: lets pass what follows on the first time."""

    def __init__(self, written: Written) -> None:
        self._text = written.text
        self._tokens = written.tokens
        self._seen_chars = self._seen_tokens = 0
        self._monitor = PerformanceMonitor()

    def without_written(self, event: Event) -> Event | None:
        if isinstance(event, Tokens):
            return self._new_tokens(event)
        if isinstance(event, Finished):
            if event.reason != "cancelled" and self._seen_chars < len(self._text):
                raise self._deviation()
            return replace(event, stats=self._monitor.result())
        return event

    def _new_tokens(self, event: Tokens) -> Tokens | None:
        tokens = tuple(rest for token in event.tokens if (rest := self._rest(token)))
        rounds = tuple(part for whole in event.rounds if (part := self._new_part(whole)))
        self._monitor.baseline = event.baseline
        self._monitor.extend(rounds)
        return replace(event, tokens=tokens, rounds=rounds) if tokens or rounds else None

    def _rest(self, token: Token) -> Token | None:
        if self._seen_chars >= len(self._text):
            return token
        expected = self._text[self._seen_chars :][: len(token.text)]
        if not token.text.startswith(expected):
            raise self._deviation()
        self._seen_chars += len(expected)
        rest = token.text[len(expected) :]
        return replace(token, text=rest) if rest else None

    def _new_part(self, whole: RoundStats) -> RoundStats | None:
        self._seen_tokens += whole.emitted
        emitted = min(whole.emitted, self._seen_tokens - self._tokens)
        if emitted <= 0:
            return None
        return replace(whole, emitted=emitted, accepted=min(whole.accepted, emitted))

    def _deviation(self) -> EngineError:
        return EngineError(
            f"the engine came to another text than before, after {self._seen_chars} characters"
        )
