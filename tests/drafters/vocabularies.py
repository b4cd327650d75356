"""Pairs of models whose vocabularies differ, and answers written with them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from config import ModelOptions, SamplingParams, SpeculativeConfig
from utils.drafters.fitting import fit_drafter
from utils.drafters.protocol import Drafter, SteeredDrafter
from utils.events import Mode, Tokens
from utils.llama.chat_prompt import encode_continued
from utils.llama.model import LlamaModel
from utils.performance_monitor import RoundStats
from utils.speculative_decoding import SpeculativeDecoder
from utils.vocabulary_map import Fit

OPTIONS = ModelOptions(
    context_tokens=400, batch_tokens=64, threads=1, batch_threads=1, flash_attention="on"
)


def open_model(path: Path) -> LlamaModel:
    return LlamaModel.open(path, OPTIONS)


def drafter_of(
    draft: LlamaModel, target: LlamaModel, fit: Fit, name: str = "draft"
) -> SteeredDrafter:
    make = fit_drafter(
        fit,
        draft.session,
        draft.vocabulary,
        target.vocabulary,
        encode_draft=partial(encode_continued, draft.vocabulary),
        encode_target=partial(encode_continued, target.vocabulary),
    )
    return make(name)


class Watched:
    """A drafter that remembers what it proposed, and checks after each round as it is told."""

    name = "watched"

    def __init__(self, drafter: SteeredDrafter, check=lambda token_ids: None) -> None:
        self._drafter = drafter
        self._check = check
        self.proposed: list[int] = []

    def begin(self, token_ids):
        self._drafter.begin(token_ids)

    def lag(self, token_ids):
        return self._drafter.lag(token_ids)

    def propose(self, token_ids, limit, picker):
        draft = self._drafter.propose(token_ids, limit, picker)
        self.proposed += draft.token_ids
        return draft

    def observe(self, token_ids):
        self._drafter.observe(token_ids)
        self._check(token_ids)


async def write(
    target: LlamaModel,
    prompt: Sequence[int],
    drafter: Drafter | None,
    *,
    temperature: float = 0.0,
    max_tokens: int = 40,
    length: int = 5,
    ends: str = "",
    **options: object,
) -> tuple[list[int], list[RoundStats]]:
    """Return the tokens and rounds of an answer in which drafting never failed.

    `ends` is the reason for which it ends before the answer, if it may.
    """
    speculative = SpeculativeConfig(
        draft_length="fixed", max_draft_tokens=length, acceptance_threshold=0, **options
    )
    token_ids: list[int] = []
    rounds: list[RoundStats] = []
    async for event in SpeculativeDecoder(target.session, target.vocabulary).generate(
        prompt,
        sampling=SamplingParams(temperature=temperature, seed=3, max_tokens=max_tokens),
        speculative=speculative,
        drafter=drafter,
    ):
        if isinstance(event, Mode) and drafter is not None:
            assert event.mode == "speculative" or event.reason == ends, event.reason
        if isinstance(event, Tokens):
            token_ids += [token.token_id for token in event.tokens]
            rounds += event.rounds
    return token_ids, rounds


def kept(rounds: Sequence[RoundStats]) -> list[tuple[int, int]]:
    return [(stats.drafted, stats.accepted) for stats in rounds]
