"""The engine inside the worker: a target, its drafts, and what they wrote lately.

Everything runs on the thread that made the engine. Knows nothing of processes and pipes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from config import ModelOptions
from utils.constraint import Constraint
from utils.cost_table import CostTable
from utils.drafters.portfolio import Portfolio
from utils.drafters.protocol import Drafter
from utils.engine.calibration import QUESTION, calibrate
from utils.engine.conversation import check_conversation
from utils.engine.draft_shelf import DraftShelf
from utils.engine.figures import describe_costs
from utils.engine.inspection import inspect_next
from utils.engine.memory import fits, give_back_freed, require_memory, resident_bytes
from utils.engine.prompts import Prompt, PromptMaker
from utils.engine.protocol import (
    COMPARISONS_OF,
    ChatMessage,
    Generate,
    Inspect,
    Inspected,
    Load,
    Loaded,
    Ready,
    Stats,
)
from utils.errors import DraftError, ModelError, ModelLoadError
from utils.events import Event, Started, Tokens
from utils.grammar.tokens import Constraints
from utils.llama.chat_prompt import opened_thought, template_for
from utils.llama.gguf_header import estimate_cache_bytes, read_header
from utils.llama.library import has_gpu, library_version, system_info
from utils.llama.model import LlamaModel
from utils.model_session import DecodeAborted
from utils.performance_monitor import PlainClock
from utils.reasoning import MARKS
from utils.speculative_decoding import SpeculativeDecoder

Report = Callable[[str, float | None], None]


@dataclass(slots=True)
class _Target:
    """A loaded target with all that depends on it."""

    model: LlamaModel
    options: ModelOptions
    prompts: PromptMaker
    decoder: SpeculativeDecoder
    drafts: DraftShelf
    constraints: Constraints
    costs: CostTable | None = None

    def constraint(self, request: Generate, prompt: Prompt) -> Constraint | None:
        """Return what the answer is held to, if anything; raises `RequestError`."""
        free_until = MARKS.get(prompt.opened.strip(), "")
        return self.constraints.take(request.sampling, free_until=free_until)

    def figures(self) -> dict[str, Any]:
        """Return what `Stats` tell of a target."""
        model, drafts, costs = self.model, self.drafts.open_models, self.costs
        context_tokens, cache_type = model.session.n_ctx, self.options.cache_type
        return {
            "cached_tokens": len(model.session.cached),
            "target": model.info,
            "open_drafts": drafts,
            "target_bytes": model.info.size_bytes,
            "draft_bytes": sum(draft.size_bytes for draft in drafts),
            "cache_bytes": estimate_cache_bytes(model.header, context_tokens, cache_type),
            "passes": describe_costs(costs) if costs else (),
            "pace": costs.pace if costs else 1.0,
            "drafts": self.drafts.figures,
        }

    def clear_caches(self) -> None:
        self.model.session.clear()
        self.drafts.clear_caches()

    def close(self) -> None:
        self.drafts.close()
        self.model.close()


class Engine:
    """Loads one target at a time and answers with it, drafting where that can be done."""

    def __init__(self) -> None:
        self._target: _Target | None = None
        self._answers = 0
        self._may_read_on = False

    def ready(self) -> Ready:
        """Describe the library the engine runs on."""
        return Ready(
            pid=os.getpid(),
            llama_cpp_version=library_version(),
            system_info=system_info(),
            has_gpu=has_gpu(),
        )

    async def load(
        self, request: Load, *, report: Report, should_stop: Callable[[], bool]
    ) -> Loaded:
        """Open a target in place of the one before, and measure its plain speed.

        The old one is kept until the new one works, if both are known to fit; its drafts go first.
        Where nobody can tell, as of a GPU, it is closed before: running out of memory there can end
        the process. Raises `ModelError`.
        """
        begin = perf_counter()
        header = read_header(Path(request.path))
        if self._target is not None and fits(header, request.options) is not True:
            self._target.drafts.close()
            give_back_freed()
            if fits(header, request.options) is not True:
                self.close()
        require_memory(header, request.options)

        def on_progress(share: float) -> bool:
            report("loading", share)
            return not should_stop()

        model = LlamaModel.open(header.path, request.options, on_progress=on_progress)
        kept = Path(request.costs_path) if request.costs_path else None
        clock = PlainClock()
        target = _Target(
            model,
            request.options,
            PromptMaker(model, template_for(model.chat_template, model.vocabulary)),
            SpeculativeDecoder(model.session, model.vocabulary, clock=clock),
            DraftShelf(model, request.options, costs_folder=kept.parent if kept else None),
            Constraints(model.vocabulary),
        )
        try:
            report("measuring plain speed", None)
            model.session.should_stop = should_stop
            prompt = target.prompts.encode([ChatMessage(role="user", content=QUESTION)])
            target.costs = await calibrate(
                model.session,
                model.vocabulary,
                prompt,
                clock=clock,
                max_rows=model.session.max_rows,
                should_stop=should_stop,
                kept=kept,
                is_quiet=lambda: model.session.has_all_threads,
            )
            if target.costs is None and should_stop():
                raise ModelLoadError("the model was not loaded: it was stopped while being timed")
            target.decoder.costs = target.costs
        except BaseException:
            target.close()
            raise
        self.close()
        self._target = target
        load_s = perf_counter() - begin
        info = replace(model.info, name=request.name or model.info.name)
        return Loaded(
            id=request.id,
            model=info,
            baseline=clock.baseline,
            load_s=load_s,
            has_template=bool(model.chat_template),
            control_texts=model.vocabulary.control_texts,
        )

    async def generate(
        self, request: Generate, should_stop: Callable[[], bool]
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer; raises `RequestError` or `ModelError`."""
        check_conversation(request.messages)
        target = self._begin(should_stop)
        self._may_read_on = not request.owner.startswith(COMPARISONS_OF)
        prompt = target.prompts.fit(request)
        constraint = target.constraint(request, prompt)
        token_ids = prompt.token_ids + prompt.begun
        opened = opened_thought(target.model.vocabulary, token_ids)
        drafter, portfolio, reason = _choose_drafting(target, request, should_stop)
        events = target.decoder.generate(
            tuple(token_ids),
            sampling=request.sampling,
            speculative=target.drafts.within_reach(request.speculative),
            drafter=drafter,
            portfolio=portfolio,
            constraint=constraint,
            begun=len(prompt.begun),
            reason=reason,
            should_stop=should_stop,
        )
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Started):
                        event = replace(
                            event,
                            opened=opened,
                            dropped_messages=prompt.dropped_messages,
                            context_tokens=target.model.session.n_ctx,
                        )
                    elif isinstance(event, Tokens):
                        token_ids += [token.token_id for token in event.tokens]
                    yield event
        except ModelError:
            target.clear_caches()
            raise
        finally:
            target.prompts.history.remember(token_ids)
        self._answers += 1

    async def catch_up(self, should_stop: Callable[[], bool]) -> None:
        """Have the draft read what it left out of the last answer, while nobody waits."""
        if self._target is None or not self._may_read_on or should_stop():
            return
        self._target.drafts.obey(should_stop)
        with suppress(DecodeAborted, DraftError):
            for _ in self._target.decoder.catch_up():
                if should_stop():
                    return
                await asyncio.sleep(0)

    async def inspect(self, request: Inspect, should_stop: Callable[[], bool]) -> Inspected:
        """Tell which tokens are likely next; raises `RequestError` or `ModelError`."""
        check_conversation(request.messages)
        target = self._begin(should_stop)
        prompt = target.prompts.make(request)
        token_ids = prompt.token_ids + prompt.begun
        if request.counts_only:
            return Inspected(id=request.id, prompt_tokens=len(token_ids))
        try:
            return await inspect_next(target.model, token_ids, request)
        except ModelError:
            target.clear_caches()
            raise

    def _begin(self, should_stop: Callable[[], bool]) -> _Target:
        if self._target is None:
            raise ModelError("no target is loaded: load one first")
        self._target.model.session.should_stop = should_stop
        return self._target

    def stats(self, request_id: str = "") -> Stats:
        """Return the engine in numbers."""
        stats = Stats(
            id=request_id,
            rss_bytes=resident_bytes(),
            cached_tokens=0,
            target=None,
            answers=self._answers,
        )
        return stats.model_copy(update=self._target.figures()) if self._target else stats

    def clear_caches(self) -> None:
        """Forget all text, after a failure that nobody foresaw."""
        if self._target is not None:
            self._target.clear_caches()

    def close(self) -> None:
        """Close all models."""
        if self._target is not None:
            self._target.close()
            self._target = None
            give_back_freed()


def _choose_drafting(
    target: _Target, request: Generate, should_stop: Callable[[], bool]
) -> tuple[Drafter | None, Portfolio | None, str]:
    """Return the drafter of a fixed length, or all that can draft, or why nothing is drafted."""
    speculative = request.speculative
    if not speculative.enabled:
        return None, None, "drafting is switched off"
    if request.draft.kind == "none":
        return None, None, "no draft is chosen"
    try:
        if speculative.draft_length == "fixed" or target.costs is None:
            drafter = target.drafts.take(request.draft, request.owner, speculative, should_stop)
            return drafter, None, ""
        portfolio = target.drafts.portfolio(
            request.draft, request.owner, target.costs, speculative, should_stop
        )
        return None, portfolio, ""
    except DecodeAborted:
        # The answer ends by itself, before it begins.
        return None, None, "stopped while the draft was opened"
    except DraftError as error:
        if not speculative.fallback_enabled:
            raise
        return None, None, str(error)
