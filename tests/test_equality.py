"""Speculative text equals plain text, token for token, through the real llama.cpp.

On Q4_0 with flash attention a row of logits is bitwise the same whatever the width of its batch,
as long as the context is shorter than 512 tokens, so equality must be 100%. Other types round
differently by width: there the first difference, if any, must sit where the target's two best
tokens nearly tie. `--prompts 300` draws that many prompts for every draft length, drafter and
temperature.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from config import FlashAttention, ModelOptions, SamplingParams, SpeculativeConfig
from tests.tiny_gguf import write_tiny_gguf, write_tiny_pair
from utils.cost_table import CostTable
from utils.drafters.lookup import LookupDrafter
from utils.drafters.model_drafter import ModelDrafter
from utils.drafters.portfolio import Portfolio
from utils.drafters.protocol import Drafter
from utils.drafters.record import DraftingRecord
from utils.events import Mode, Tokens
from utils.llama.model import LlamaModel
from utils.performance_monitor import RoundStats
from utils.sampling import Sampler, SharedNoise
from utils.speculative_decoding import SpeculativeDecoder

pytestmark = pytest.mark.no_cover

OPTIONS = ModelOptions(
    context_tokens=256, batch_tokens=64, threads=1, batch_threads=1, flash_attention="on"
)
ANSWER_TOKENS = 24


class Pair:
    """A target with several drafts."""

    def __init__(self, folder: Path, quantization: str) -> None:
        self.quantization = quantization
        target, draft = write_tiny_pair(folder, quantization)
        other = write_tiny_gguf(folder / "other.gguf", quantization=quantization, seed=99)
        self.models = [LlamaModel.open(path, OPTIONS) for path in (target, draft, other)]
        self.target = self.models[0]
        size = self.target.vocabulary.size
        self.drafters: dict[str, Drafter] = {
            "draft": ModelDrafter("draft", self.models[1].session, vocabulary_size=size),
            "unrelated": ModelDrafter("unrelated", self.models[2].session, vocabulary_size=size),
            "lookup": LookupDrafter(),
        }
        self.decoder = SpeculativeDecoder(self.target.session, self.target.vocabulary)

    def sampling(self, temperature: float, seed: int) -> SamplingParams:
        """Without truncation where rounding may differ: then every difference is a near tie."""
        cut = {} if self.quantization == "Q4_0" else {"top_k": 0, "top_p": 1.0}
        return SamplingParams(temperature=temperature, seed=seed, max_tokens=ANSWER_TOKENS, **cut)

    async def write(
        self, prompt: Sequence[int], sampling: SamplingParams, length: int, drafter: Drafter | None
    ) -> tuple[list[int], list[RoundStats]]:
        tokens: list[int] = []
        rounds: list[RoundStats] = []
        stream = self.decoder.generate(
            prompt,
            sampling=sampling,
            speculative=SpeculativeConfig(max_draft_tokens=length, acceptance_threshold=0),
            drafter=drafter,
        )
        async for event in stream:
            if isinstance(event, Mode):
                assert drafter is None or event.mode == "speculative", event
            if isinstance(event, Tokens):
                tokens += [token.token_id for token in event.tokens]
                rounds += event.rounds
        return tokens, rounds


@pytest.fixture(scope="module", params=["Q4_0", "Q8_0", "F16"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"), request.param)
    yield made
    for model in made.models:
        model.close()


def random_prompts(pair: Pair, count: int) -> list[list[int]]:
    rng = random.Random(2403)
    size = pair.target.vocabulary.size
    return [[rng.randrange(size) for _ in range(rng.randint(1, 200))] for _ in range(count)]


def tie_margin(
    pair: Pair, prompt: list[int], agreed: list[int], sampling: SamplingParams, a: int, b: int
) -> float:
    """Gap between the two tokens in units of the logits' spread, after the agreed text."""
    session = pair.target.session
    session.rollback(0)
    text = [*prompt, *agreed]
    for start in range(0, len(text) - 1, session.max_batch):
        session.decode(text[:-1][start : start + session.max_batch], rows=0)
    logits = session.decode(text[-1:], rows=1)[0].copy()
    if sampling.is_greedy:
        return float(abs(logits[a] - logits[b]) / logits.std())
    # With noise the contest is between perturbed logits: waiting times of the race.
    noise, position = SharedNoise(sampling.seed or 0), len(text)
    distribution = Sampler(sampling).distribution(logits, text)
    times = dict(
        zip(
            distribution.token_ids.tolist(),
            np.log(noise.waiting_times(distribution, position)),
            strict=True,
        )
    )
    return abs(times[a] - times[b]) * sampling.temperature / float(logits.std())


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("name", ["draft", "unrelated", "lookup"])
async def test_speculative_text_is_plain_text(
    pair: Pair, name: str, temperature: float, prompts: int
) -> None:
    drafter = pair.drafters[name]
    drafted = accepted = differing = 0
    for index, prompt in enumerate(random_prompts(pair, prompts)):
        sampling = pair.sampling(temperature, index)
        plain, _ = await pair.write(prompt, sampling, 1, None)
        for length in range(1, 17) if prompts >= 300 else [index % 16 + 1]:
            got, rounds = await pair.write(prompt, sampling, length, drafter)
            drafted += sum(r.drafted for r in rounds)
            accepted += sum(r.accepted for r in rounds)
            if got == plain:
                continue
            assert pair.quantization != "Q4_0", f"prompt {index}, draft length {length}"
            at = next(i for i, (x, y) in enumerate(zip(plain, got, strict=False)) if x != y)
            margin = tie_margin(pair, prompt, plain[:at], sampling, plain[at], got[at])
            print(f"{pair.quantization} {name}: differs at token {at}, margin {margin:.4f}")
            assert margin < 0.1
            differing += 1
    assert drafted > 0
    if name == "draft":
        assert 0.2 < accepted / drafted < 1


async def test_the_answer_is_the_same_with_the_draft_swapped_between_turns(pair: Pair) -> None:
    if pair.quantization != "Q4_0":
        return
    prompt = random_prompts(pair, 1)[0]
    sampling = SamplingParams(temperature=0, max_tokens=ANSWER_TOKENS)
    answers = [
        (await pair.write(prompt, sampling, 5, drafter))[0]
        for drafter in (None, *pair.drafters.values(), None)
    ]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
async def test_whatever_the_portfolio_drafts_the_text_is_plain_text(
    pair: Pair, temperature: float
) -> None:
    if pair.quantization != "Q4_0":
        return
    # Passes that cost the same however wide they are: then it drafts with all it has.
    record = DraftingRecord(CostTable({0: {1: 1e-3, 17: 1e-3}}, max_width=17), draft_token_s=1e-6)
    model = pair.drafters["draft"]
    assert isinstance(model, ModelDrafter)
    drafted = 0
    for index, prompt in enumerate(random_prompts(pair, 24)):
        sampling = pair.sampling(temperature, index)
        plain, _ = await pair.write(prompt, sampling, 1, None)
        lookup = LookupDrafter(remembered_tokens=512)
        portfolio = Portfolio(model, lookup, record, max_draft_tokens=16)
        tokens: list[int] = []
        async for event in pair.decoder.generate(
            prompt, sampling=sampling, speculative=SpeculativeConfig(), portfolio=portfolio
        ):
            if isinstance(event, Tokens):
                tokens += [token.token_id for token in event.tokens]
                drafted += sum(stats.drafted for stats in event.rounds)
        assert tokens == plain
    assert drafted > 100


@pytest.mark.parametrize("quantization", ["Q4_0", "Q8_0", "F16"])
@pytest.mark.parametrize("flash_attention", ["on", "off"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
async def test_deterministic_text_is_the_same_to_the_end_of_a_long_context(
    tmp_path: Path, quantization: str, flash_attention: FlashAttention, temperature: float
) -> None:
    target, draft = write_tiny_pair(tmp_path, quantization, context=2048)
    options = OPTIONS.model_copy(update={"context_tokens": 700, "flash_attention": flash_attention})
    with LlamaModel.open(target, options) as big, LlamaModel.open(draft, options) as small:
        drafter = ModelDrafter("draft", small.session, vocabulary_size=big.vocabulary.size)
        sampling = SamplingParams(temperature=temperature, seed=5, max_tokens=2000)
        texts = []
        for chosen in (None, drafter, LookupDrafter()):
            speculative = SpeculativeConfig(
                max_draft_tokens=7, acceptance_threshold=0, deterministic=True
            )
            tokens: list[int] = []
            async for event in SpeculativeDecoder(big.session, big.vocabulary).generate(
                [1, 2, 3, 4], sampling=sampling, speculative=speculative, drafter=chosen
            ):
                if isinstance(event, Tokens):
                    tokens += [token.token_id for token in event.tokens]
            texts.append(tokens)
        assert len(texts[0]) == 700 - 8 - 4
        assert texts[1] == texts[0]
        assert texts[2] == texts[0]
