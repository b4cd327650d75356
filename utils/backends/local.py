"""The engine as a backend, with drafting or without."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from config import SamplingParams, SpeculativeConfig
from utils.backends.protocol import NOTHING_WRITTEN, Availability, Written
from utils.engine.client import EngineClient
from utils.engine.protocol import ChatMessage, Inspected, RenderedPrompt
from utils.engine.rendering import Render
from utils.errors import BackendError
from utils.events import Event, Finished, Mode
from utils.performance_monitor import PerformanceMonitor


class LocalBackend:
    """Answers with the engine, which loads `target` where it holds another model."""

    def __init__(
        self,
        engine: EngineClient,
        *,
        target: str = "",
        drafts: bool = True,
        render: Render | None = None,
        drop_oldest: bool = False,
    ) -> None:
        """`drafts` False leaves drafting out, whatever is asked for.

        Without a `target` the one that is loaded answers. `render` makes prompts for a target that
        has no template of its own. `drop_oldest` leaves out the oldest messages where not all fit.
        """
        self._engine = engine
        self._target = target
        self._drafts = drafts
        self._render = render
        self._drop_oldest = drop_oldest
        self._note = ""

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
        """Yield the events of one answer, or of what follows on `written`.

        The noise of sampling depends on seed and position alone: after the same tokens the rest is
        what it would have been.
        """
        room = sampling.max_tokens - written.tokens
        if room <= 0:
            yield Finished("length", PerformanceMonitor().result())
            return
        events = self._engine.generate(
            messages,
            sampling=sampling.model_copy(update={"max_tokens": room}),
            speculative=speculative.model_copy(
                update={"enabled": speculative.enabled and self._drafts}
            ),
            owner=owner,
            target=self._target,
            render=self._rendered if self._render else None,
            written=written.text,
            written_ids=written.token_ids,
            written_by=written.model,
            drop_oldest=self._drop_oldest,
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Mode) and self._note:
                    reasons = filter(None, (event.reason, self._note))
                    event = replace(event, reason="; ".join(reasons))
                yield event

    async def inspect(
        self,
        messages: Sequence[ChatMessage],
        *,
        written_ids: Sequence[int],
        candidates: Sequence[int],
        owner: str = "",
        dropped_messages: int = 0,
    ) -> Inspected:
        """Look at one position of an answer; see `EngineClient.inspect`."""
        return await self._engine.inspect(
            messages,
            written_ids=written_ids,
            candidates=candidates,
            owner=owner,
            target=self._target,
            render=self._rendered if self._render else None,
            dropped_messages=dropped_messages,
        )

    async def _rendered(
        self, messages: Sequence[ChatMessage], control_texts: Sequence[str]
    ) -> RenderedPrompt | None:
        """Have the prompt made; without whoever makes it, the engine takes a common form."""
        try:
            return await self._render(messages, control_texts) if self._render else None
        except BackendError as error:
            self._note = f"the prompt has a common form, not that of the model: {error}"
            return None
