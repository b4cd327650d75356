"""A target and a draft in this process, and one way to let them answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from config import ModelOptions, SamplingParams, SpeculativeConfig
from utils.drafters.lookup import LookupDrafter
from utils.drafters.model_drafter import ModelDrafter
from utils.drafters.protocol import Drafter
from utils.engine.protocol import ChatMessage
from utils.events import Finished, Tokens
from utils.llama.chat_prompt import encode_chat, template_for
from utils.llama.model import LlamaModel
from utils.performance_monitor import GenerationStats
from utils.speculative_decoding import SpeculativeDecoder

DrafterName = Literal["none", "model", "lookup"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written, and how fast."""

    token_ids: tuple[int, ...]
    text: str
    stats: GenerationStats
    slowest_round_s: float


class Rig:
    """Two models and a decoder over them; `draft` None leaves lookup and plain decoding."""

    def __init__(self, target: Path, draft: Path | None, options: ModelOptions) -> None:
        self.target = LlamaModel.open(target, options)
        self.draft = LlamaModel.open(draft, options) if draft else None
        self.template = template_for(self.target.chat_template, self.target.vocabulary)
        self.decoder = SpeculativeDecoder(self.target.session, self.target.vocabulary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for model in (self.draft, self.target):
            if model is not None:
                model.close()

    def encode(self, *turns: str) -> list[int]:
        """Return the prompt of a conversation that the user began and that user ends."""
        messages = tuple(
            ChatMessage(role="assistant" if index % 2 else "user", content=turn)
            for index, turn in enumerate(turns)
        )
        return encode_chat(self.target.vocabulary, self.template, messages)

    def forget(self) -> None:
        """Empty the caches of both models."""
        for model in (self.draft, self.target):
            if model is not None:
                model.session.rollback(0)

    def answer(
        self,
        prompt: Sequence[int],
        *,
        sampling: SamplingParams,
        speculative: SpeculativeConfig,
        drafter: DrafterName,
    ) -> Answer:
        """Write one answer with what the caches hold."""
        return asyncio.run(self._answer(prompt, sampling, speculative, self._drafter(drafter)))

    def name_of(self, drafter: DrafterName) -> str:
        """Return what reports call the drafter."""
        if drafter == "model" and self.draft is not None:
            return f"{self.draft.header.path.stem} {self.draft.info.quantization}"
        return drafter

    def _drafter(self, name: DrafterName) -> Drafter | None:
        if name == "lookup":
            return LookupDrafter()
        if name == "none":
            return None
        if self.draft is None:
            raise ValueError("no draft model was given: name one with --draft")
        size = self.target.info.vocabulary_size
        return ModelDrafter("draft", self.draft.session, vocabulary_size=size)

    async def _answer(
        self,
        prompt: Sequence[int],
        sampling: SamplingParams,
        speculative: SpeculativeConfig,
        drafter: Drafter | None,
    ) -> Answer:
        token_ids: list[int] = []
        parts: list[str] = []
        slowest_s = 0.0
        stats: GenerationStats | None = None
        async for event in self.decoder.generate(
            prompt, sampling=sampling, speculative=speculative, drafter=drafter
        ):
            if isinstance(event, Tokens):
                token_ids += [token.token_id for token in event.tokens]
                parts += [token.text for token in event.tokens]
                slowest_s = max([slowest_s, *(stats.total_s for stats in event.rounds)])
            elif isinstance(event, Finished):
                stats = event.stats
        if stats is None:
            raise RuntimeError("the answer did not finish")
        return Answer(tuple(token_ids), "".join(parts), stats, slowest_s)
