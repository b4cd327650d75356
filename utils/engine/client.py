"""The engine as the app sees it: asynchronous, queued, restarted when its worker dies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from config import SamplingParams, Settings, SpeculativeConfig
from utils.engine.admission import Admission, TargetFile
from utils.engine.conversation import check_conversation, within_chars, without_first
from utils.engine.health import EngineHealth
from utils.engine.notice import Notice
from utils.engine.process import WORKER_COMMAND
from utils.engine.protocol import (
    MAX_CANDIDATES,
    ChatMessage,
    DraftChoice,
    Generate,
    GetStats,
    Inspect,
    Inspected,
    Load,
    Loaded,
    RenderedPrompt,
    Stats,
)
from utils.engine.rendering import Render, render_fitting
from utils.engine.scheduler import FairQueue, Turn
from utils.engine.supervisor import Supervisor
from utils.errors import EngineError, RequestError, SpecChatError
from utils.events import Event, Finished, Mode, Queued, Started
from utils.performance_monitor import PerformanceMonitor

logger = logging.getLogger(__name__)
LOADER = "loading a target"


@dataclass(slots=True)
class _Asked:
    """An answer that somebody reads, from asking to its end."""

    turn: Turn
    request_id: str
    is_cancelled: bool = False


class EngineClient:
    """One engine: `start` it, `load` a target, `generate` answers, `close` it.

    Everything belongs to the event loop that `start` ran on.
    """

    def __init__(self, settings: Settings, *, command: tuple[str, ...] = WORKER_COMMAND) -> None:
        """`command` starts a worker; tests put other programs there."""
        self._settings = settings
        self._changes = Notice()
        self._supervisor = Supervisor(settings, self._changes, command=command)
        self._queue = FairQueue(settings.queue_limit, self._changes)
        self._admission = Admission(settings)
        self._asked: dict[str, _Asked] = {}
        self._loaded: Loaded | None = None
        self._loaded_as = ""
        self._file: TargetFile | None = None

    @property
    def health(self) -> EngineHealth:
        """The state now."""
        return replace(self._supervisor.health, queue_length=len(self._queue))

    async def wait_until(
        self, is_so: Callable[[EngineHealth], bool], *, timeout_s: float | None = None
    ) -> EngineHealth:
        """Wait for a state of health and return it; raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            while not is_so(health := self.health):
                await self._changes.wait()
            return health

    async def start(self) -> None:
        """Start the worker; raises `EngineError` where none stays alive."""
        await self._supervisor.start()

    async def open(self, target: str | None = None) -> None:
        """Start and load a target, or that of the settings; what goes wrong shows in `health`."""
        try:
            await self.start()
            await self.load(target)
        except EngineError:
            logger.warning("engine did not start: %s", self.health.reason)
        except SpecChatError as error:
            self._supervisor.fail(error)

    async def load(self, target: str | None = None) -> Loaded:
        """Load a target by name, in its turn; without one, that of the settings.

        Raises `UnknownModelError`, `ModelFileError`, `ModelLoadError` or `EngineError`; the
        target before stays loaded where memory allows.
        """
        turn = self._queue.enter(LOADER)
        try:
            async for _ in turn.positions():
                pass
            return await self._load(target or self._settings.target_model)
        finally:
            turn.leave()

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: SamplingParams,
        speculative: SpeculativeConfig,
        owner: str = "",
        answer_id: str = "",
        target: str = "",
        render: Render | None = None,
        written: str = "",
        written_ids: Sequence[int] = (),
        written_by: str = "",
        drop_oldest: bool = False,
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer; owners take turns.

        `target` is loaded first where another model is; without one, whatever is loaded answers.
        `render` makes the prompt for a target without a template of its own. An answer that has
        begun is gone on with after `written_ids`, if this target is what they are `written_by`, or
        else after the text `written`. `drop_oldest` leaves out the oldest questions and answers
        where not all fit. Closing the generator cancels the answer; `cancel(answer_id)` has it
        finish as cancelled. Raises `RequestError`, `ModelError` or `EngineError`.
        """
        most = self._settings.max_prompt_chars
        kept = within_chars(messages, most) if drop_oldest else tuple(messages)
        check_conversation(kept, max_chars=most)
        with self._ask(owner, answer_id) as asked:
            async for position in asked.turn.positions():
                yield Queued(position)
            if not asked.is_cancelled:
                await self._make_ready(target)
                name, file = self._model_name, self._file
                request = Generate(
                    id=asked.request_id,
                    owner=owner,
                    messages=kept,
                    sampling=sampling,
                    speculative=speculative,
                    draft=await self._choose_draft(speculative),
                    written=written,
                    written_ids=tuple(written_ids) if written_by in ("", name) else (),
                    drop_oldest=drop_oldest,
                )
                request = await render_fitting(
                    request,
                    partial(self._render, render),
                    self._supervisor.inspect,
                    context_tokens=self._context_tokens,
                )
            if asked.is_cancelled:
                yield Finished("cancelled", PerformanceMonitor().result())
                return
            dropped = len(messages) - len(request.messages)
            with self._supervisor.answer(request, asked.turn.leave) as answer:
                drafters = set[str | None]()
                while not isinstance(event := await answer.get(), Finished):
                    drafters |= {event.drafter} if isinstance(event, Mode) else set()
                    yield _completed(event, name, dropped)
                if file is not None and drafters == {request.draft.name}:
                    await asyncio.to_thread(self._admission.note, file, request, event.stats)
                yield event

    async def inspect(
        self,
        messages: Sequence[ChatMessage],
        *,
        written_ids: Sequence[int] = (),
        candidates: Sequence[int],
        owner: str = "",
        target: str = "",
        render: Render | None = None,
        dropped_messages: int = 0,
    ) -> Inspected:
        """Return the logit of each candidate after `written_ids` of an answer, and the likeliest.

        `dropped_messages` were left out of the conversation for that answer. Waits for its turn as
        an answer does. Raises `RequestError`, `ModelError` or `EngineError`.
        """
        if len(candidates) > MAX_CANDIDATES or min((*candidates, *written_ids), default=0) < 0:
            raise RequestError(
                f"the candidates are wrong: up to {MAX_CANDIDATES} token ids can be looked at, "
                f"none of them negative; found {len(candidates)}"
            )
        kept = without_first(messages, dropped_messages)
        check_conversation(kept, max_chars=self._settings.max_prompt_chars)
        with self._ask(owner, "") as asked:
            async for _ in asked.turn.positions():
                pass
            await self._make_ready(target)
            request = Inspect(
                id=asked.request_id,
                messages=kept,
                rendered=await self._render(render, kept),
                written_ids=tuple(written_ids),
                candidates=tuple(candidates),
            )
            return await self._supervisor.inspect(request)

    @contextmanager
    def _ask(self, owner: str, answer_id: str) -> Iterator[_Asked]:
        """Take a place in the queue, which `cancel` finds by the answer's id."""
        request_id = _new_id()
        answer_id = answer_id or request_id
        if answer_id in self._asked:
            raise RequestError(f"answer {answer_id!r} is being written: choose another id")
        asked = self._asked[answer_id] = _Asked(self._queue.enter(owner), request_id)
        try:
            yield asked
        finally:
            del self._asked[answer_id]
            asked.turn.leave()

    def cancel(self, answer_id: str) -> None:
        """Stop an answer, which keeps what was written; unknown or ended ones are left alone."""
        if (asked := self._asked.get(answer_id)) is None:
            return
        asked.is_cancelled = True
        if asked.turn.is_held:
            self._supervisor.cancel(asked.request_id)
        else:
            asked.turn.leave()

    async def stats(self) -> Stats:
        """Return the worker in numbers."""
        return await self._supervisor.stats(GetStats(id=_new_id()))

    async def close(self) -> None:
        """End the worker within 5 seconds; what runs or waits fails with `EngineError`."""
        await self._supervisor.close()

    async def _make_ready(self, target: str) -> None:
        """Wait for the worker, and load the target, or that of the settings if there is none."""
        await self._supervisor.available()
        model = self._supervisor.health.model
        if model is None or (target and target not in (self._loaded_as, model.name)):
            await self._load(target or self._loaded_as or self._settings.target_model)

    async def _load(self, target: str) -> Loaded:
        file = await asyncio.to_thread(self._admission.find_target, target)
        loaded = await self._supervisor.load(
            Load(
                id=_new_id(),
                path=str(file.path),
                name=file.name,
                options=file.options,
                costs_path=str(file.costs),
            )
        )
        self._loaded, self._loaded_as, self._file = loaded, target, file
        return loaded

    @property
    def _model_name(self) -> str:
        model = self._supervisor.health.model
        return model.name if model else self._loaded_as

    @property
    def _context_tokens(self) -> int:
        return self._loaded.model.context_tokens if self._loaded else 0

    async def _render(
        self, render: Render | None, messages: Sequence[ChatMessage]
    ) -> RenderedPrompt | None:
        if render is None or self._loaded is None or self._loaded.has_template:
            return None
        return await render(messages, self._loaded.control_texts)

    async def _choose_draft(self, speculative: SpeculativeConfig) -> DraftChoice:
        if not speculative.enabled:
            return DraftChoice(kind="none")
        health = self.health
        return await asyncio.to_thread(
            self._admission.find_draft,
            speculative.draft_model,
            self._model_name,
            has_gpu=health.has_gpu,
        )


def _completed(event: Event, model: str, dropped_messages: int) -> Event:
    """Return an event with what only the app knows of it."""
    if not isinstance(event, Started):
        return event
    dropped_messages += event.dropped_messages
    return replace(event, model=model, dropped_messages=dropped_messages)


def _new_id() -> str:
    return uuid4().hex
