"""A target and a draft in this process, and one way to let them answer."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from types import TracebackType
from typing import Literal, Self

import numpy as np

from config import ModelOptions, SamplingParams, SpeculativeConfig, VerifierName
from utils.cost_table import CostTable
from utils.draft_pairs import check_pair
from utils.drafters.fitting import MakeDrafter
from utils.drafters.lookup import LookupDrafter
from utils.drafters.portfolio import Portfolio
from utils.drafters.protocol import SteeredDrafter
from utils.drafters.record import DraftingRecord
from utils.engine.calibration import QUESTION, time_passes
from utils.engine.draft_shelf import MAX_DRAFT_TOKENS, fit_models
from utils.engine.protocol import ChatMessage
from utils.events import Finished, Tokens
from utils.llama.chat_prompt import encode_chat, template_for
from utils.llama.model import LlamaModel
from utils.llama.short_passes import settle_threads
from utils.model_session import prefill
from utils.performance_monitor import GenerationStats, RoundStats
from utils.speculative_decoding import SpeculativeDecoder

DrafterName = Literal["none", "model", "lookup", "adaptive"]
TIMED_STEPS = 4


@dataclass(frozen=True, slots=True)
class Way:
    """How an answer is written: by which drafter and, where that is fixed, with what length.

    Below an acceptance rate of `threshold` a fixed length pauses; 0 never pauses.
    """

    drafter: DrafterName
    length: int = 0
    threshold: float = 0.0
    verifier: VerifierName = "coupled"

    @property
    def name(self) -> str:
        """What reports call it."""
        if self.drafter == "none":
            return "plain"
        name = f"{self.drafter} {self.length}" if self.is_fixed else self.drafter
        return name if self.verifier == "coupled" else f"{name}, {self.verifier}"

    @property
    def is_fixed(self) -> bool:
        """True where the same number of tokens is drafted in every round."""
        return self.drafter in ("model", "lookup")

    @property
    def speculative(self) -> SpeculativeConfig:
        """How is drafted; a failing drafter fails the benchmark."""
        return SpeculativeConfig(
            max_draft_tokens=self.length or MAX_DRAFT_TOKENS,
            acceptance_threshold=self.threshold,
            fallback_enabled=False,
            verifier=self.verifier,
        )


PLAIN = Way("none")
ADAPTIVE = Way("adaptive")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written, and how fast."""

    token_ids: tuple[int, ...]
    text: str
    stats: GenerationStats
    slowest_round_s: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured before adaptive drafting: from it follows what drafting could gain.

    To begin a draft costs more than a token of it: two tokens are read, after a pass of the target.
    """

    pass_s: tuple[float, ...]
    draft_token_s: float | None
    draft_begin_s: float = 0.0

    def draft_s(self, count: int) -> float:
        """Return the seconds of a draft of so many tokens."""
        return self.draft_begin_s + count * (self.draft_token_s or 0.0) if count else 0.0


class Rig:
    """Two models and a decoder over them; `draft` None leaves lookup and plain decoding."""

    def __init__(self, target: Path, draft: Path | None, options: ModelOptions) -> None:
        self.target = LlamaModel.open(target, options)
        self.draft = LlamaModel.open(draft, options) if draft else None
        self.template = template_for(self.target.chat_template, self.target.vocabulary)
        self.decoder = SpeculativeDecoder(self.target.session, self.target.vocabulary)
        self.has_same_tokens = False
        self._make_drafter = self._fit()
        self._draft_token_s = self._settle_draft()
        self._table: CostTable | None = None
        self._records: dict[VerifierName, DraftingRecord] = {}
        self._kept_tokens = 0
        self._verified_s: defaultdict[int, list[float]] = defaultdict(list)
        self.costs: Costs | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for model in self._models:
            model.close()

    @property
    def _models(self) -> list[LlamaModel]:
        return [model for model in (self.draft, self.target) if model is not None]

    @property
    def draft_name(self) -> str:
        """Name and type of the draft model."""
        if self.draft is None:
            return "none"
        return f"{self.draft.header.path.stem} {self.draft.info.quantization}"

    def encode(self, *turns: str) -> list[int]:
        """Return the prompt of a conversation that the user began and that user ends."""
        messages = tuple(
            ChatMessage(role="assistant" if index % 2 else "user", content=turn)
            for index, turn in enumerate(turns)
        )
        return encode_chat(self.target.vocabulary, self.template, messages)

    def remember(self, token_ids: Sequence[int]) -> None:
        """Read tokens that all prompts begin with into both caches, which keep them."""
        for model in self._models:
            for _ in prefill(model.session, token_ids):
                pass
        self._kept_tokens = len(token_ids)

    def forget(self) -> None:
        """Empty the caches of both models, but for what they are to remember."""
        for model in self._models:
            session = model.session
            session.rollback(min(self._kept_tokens, len(session.cached)))

    def let_draft_read(self, prompt: Sequence[int]) -> None:
        """Have a draft of the same tokens read a prompt that is not yet asked, but its last token.

        Ours reads it amid the answer, after the first token is out; others while they read it.
        """
        if self.draft is not None and self.has_same_tokens:
            for _ in prefill(self.draft.session, prompt[:-1]):
                pass

    def begin_user(self) -> None:
        """Forget what adaptive drafting learnt, as for a new user; costs stay known."""
        self._records.clear()

    def answer(self, prompt: Sequence[int], sampling: SamplingParams, way: Way) -> Answer:
        """Write one answer with what the caches hold.

        Then the draft reads what it left out, and learns from it, as while nobody waits in the app.
        """
        answer = asyncio.run(self._answer(prompt, sampling, way))
        for _ in self.decoder.catch_up():
            pass
        return answer

    def _model_drafter(self) -> SteeredDrafter | None:
        return self._make_drafter("draft") if self._make_drafter else None

    def _drafter(self, way: Way) -> SteeredDrafter | LookupDrafter | None:
        if way.drafter != "model":
            return LookupDrafter() if way.drafter == "lookup" else None
        drafter = self._model_drafter()
        if drafter is None:
            raise ValueError("no draft model was given: name one with --draft")
        return drafter

    def _fit(self) -> MakeDrafter | None:
        if self.draft is None:
            return None
        check = check_pair(self.target.header, self.draft.header)
        if not check.compatible:
            raise ValueError(f"the draft does not suit the target: {check.reason}")
        if not self.target.can_rollback:
            raise ValueError("the target cannot take tokens back: it is a recurrent model")
        self.has_same_tokens = check.fit == "same"
        return fit_models(self.target, self.draft, check)

    def _portfolio(self, verifier: VerifierName) -> Portfolio:
        """Return all drafters; what earlier answers said is unknown, as each is asked again."""
        if verifier not in self._records:
            self._records[verifier] = self._new_record()
        return Portfolio(
            self._model_drafter(),
            LookupDrafter(),
            self._records[verifier],
            max_draft_tokens=min(MAX_DRAFT_TOKENS, self.target.returnable_tokens),
            fallback_enabled=False,
        )

    def calibrate(self) -> CostTable:
        """Measure what passes cost, once, as the engine does when it loads a model and a draft."""
        if self._table is None:
            self._table = self.decoder.costs = table = self._time_target()
            seconds = tuple(table.seconds(width) for width in range(1, table.max_width + 1))
            token_s = self._draft_token_s
            self.costs = Costs(seconds, token_s, self._time_beginning(token_s or 0.0))
        return self._table

    def met_costs(self) -> Costs | None:
        """Return what passes took in all answers so far, None where nothing was drafted.

        What a draft takes is that of calibration: a draft may be longer than what is verified.
        """
        if self.costs is None or len(self._verified_s) < 2 or 0 not in self._verified_s:
            return None
        counts = sorted(self._verified_s)
        known = [median(self._verified_s[count]) for count in counts]
        pass_s = np.interp(range(len(self.costs.pass_s)), counts, known)
        return replace(self.costs, pass_s=tuple(map(float, pass_s)))

    def _new_record(self) -> DraftingRecord:
        return DraftingRecord(self.calibrate(), draft_token_s=self._draft_token_s)

    def _settle_draft(self) -> float | None:
        if self.draft is None:
            return None
        first = self.draft.vocabulary.bos or 0
        return settle_threads(self.draft.session, first, self.draft.info.threads).best_s

    def _time_beginning(self, token_s: float) -> float:
        """Return what the first pass of a draft takes beyond `token_s`, between target passes."""
        if self.draft is None:
            return 0.0
        kept = [list(model.session.cached) for model in (self.target, self.draft)]
        times = []
        for _ in range(2 * TIMED_STEPS):
            for model in (self.target, self.draft):
                model.session.rollback(0)
            self.target.session.decode([self.target.vocabulary.bos or 0] * 6, rows=6)
            begin = perf_counter()
            self.draft.session.decode([self.draft.vocabulary.bos or 0] * 2, rows=1)
            times.append(perf_counter() - begin)
            for _ in range(TIMED_STEPS):
                self.draft.session.decode([self.draft.vocabulary.bos or 0], rows=1)
        for model, token_ids in zip((self.target, self.draft), kept, strict=True):
            _restore(model, token_ids)
        return max(0.0, median(times) - token_s)

    def _time_target(self) -> CostTable:
        session, kept = self.target.session, list(self.target.session.cached)
        passes = time_passes(
            session,
            self.encode(QUESTION)[: session.n_ctx // 2],
            max_rows=session.max_rows,
            should_stop=lambda: False,
        )
        _restore(self.target, kept)
        return CostTable(passes, max_width=session.max_rows)

    async def _answer(self, prompt: Sequence[int], sampling: SamplingParams, way: Way) -> Answer:
        token_ids: list[int] = []
        parts: list[str] = []
        slowest_s = 0.0
        stats: GenerationStats | None = None
        longest = min(way.speculative.max_draft_tokens, max(1, self.target.returnable_tokens))
        async for event in self.decoder.generate(
            prompt,
            sampling=sampling,
            speculative=way.speculative.model_copy(update={"max_draft_tokens": longest}),
            drafter=self._drafter(way),
            portfolio=self._portfolio(way.verifier) if way.drafter == "adaptive" else None,
        ):
            if isinstance(event, Tokens):
                self._note(event.rounds, way)
                token_ids += [token.token_id for token in event.tokens]
                parts += [token.text for token in event.tokens]
                slowest_s = max([slowest_s, *(stats.total_s for stats in event.rounds)])
            elif isinstance(event, Finished):
                stats = event.stats
        if stats is None:
            raise RuntimeError("the answer did not finish")
        return Answer(tuple(token_ids), "".join(parts), stats, slowest_s)

    def _note(self, rounds: Sequence[RoundStats], way: Way) -> None:
        """Keep what rounds took, by what they verified; plain passes are those of plain answers."""
        for stats in rounds:
            if stats.drafted or way == PLAIN:
                self._verified_s[stats.drafted].append(stats.verify_s)


def _restore(model: LlamaModel, token_ids: Sequence[int]) -> None:
    model.session.rollback(0)
    if token_ids:
        for _ in prefill(model.session, token_ids):
            pass
