"""Speculative text equals plain text where the target is a hybrid that goes back by snapshots.

On Q4_0 with flash attention and under 512 tokens of context, rows of logits are bitwise the same
whatever the width of their batch, here too, so every text must be the same to the last token.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from config import SamplingParams, SpeculativeConfig
from tests.test_equality import ANSWER_TOKENS, OPTIONS
from tests.tiny_hybrid import ARCHITECTURES, write_tiny_hybrid
from utils.cost_table import CostTable
from utils.drafters.lookup import LookupDrafter
from utils.drafters.portfolio import Portfolio
from utils.drafters.protocol import Drafter, Picker
from utils.drafters.record import DraftingRecord
from utils.events import Tokens
from utils.llama.model import LlamaModel
from utils.llama.recurrent_session import RecurrentSession
from utils.performance_monitor import RoundStats
from utils.speculative_decoding import SpeculativeDecoder
from utils.token_validator import Draft

pytestmark = pytest.mark.no_cover

TEMPERATURES = (0.0, 0.8)


class Guesser:
    """Knows what comes, and errs in one token of eight."""

    name = "guesser"

    def __init__(self, text: Sequence[int], seed: int) -> None:
        self._text = text
        self._random = random.Random(seed)

    def begin(self, token_ids: Sequence[int]) -> None: ...

    def lag(self, token_ids: Sequence[int]) -> int:
        return 0

    def observe(self, token_ids: Sequence[int]) -> None: ...

    def propose(self, token_ids: Sequence[int], limit: int, picker: Picker) -> Draft:
        ahead = self._text[len(token_ids) : len(token_ids) + limit]
        return Draft(tuple(self._err(token_id) for token_id in ahead))

    def _err(self, token_id: int) -> int:
        return 5 + token_id % 500 if self._random.random() < 1 / 8 else token_id


@pytest.fixture(scope="module", params=ARCHITECTURES)
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlamaModel]:
    path = write_tiny_hybrid(tmp_path_factory.mktemp("hybrid") / "target.gguf", request.param)
    with LlamaModel.open(path, OPTIONS) as model:
        yield model


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Tokens and rows of all passes."""
    seen: list[tuple[int, int]] = []
    decode = RecurrentSession.decode

    def noted(self, token_ids, *, rows, width=0):
        seen.append((len(token_ids), rows))
        return decode(self, token_ids, rows=rows, width=width)

    monkeypatch.setattr(RecurrentSession, "decode", noted)
    return seen


async def write(
    model: LlamaModel,
    prompt: Sequence[int],
    sampling: SamplingParams,
    speculative: SpeculativeConfig | None = None,
    *,
    drafter: Drafter | None = None,
    portfolio: Portfolio | None = None,
) -> tuple[list[int], list[RoundStats]]:
    tokens: list[int] = []
    rounds: list[RoundStats] = []
    async for event in SpeculativeDecoder(model.session, model.vocabulary).generate(
        prompt,
        sampling=sampling,
        speculative=speculative or SpeculativeConfig(),
        drafter=drafter,
        portfolio=portfolio,
    ):
        if isinstance(event, Tokens):
            tokens += [token.token_id for token in event.tokens]
            rounds += event.rounds
    return tokens, rounds


def fixed(length: int, **options: bool) -> SpeculativeConfig:
    return SpeculativeConfig(max_draft_tokens=length, acceptance_threshold=0, **options)


def prompts(count: int) -> list[list[int]]:
    rng = random.Random(2403)
    return [[rng.randrange(512) for _ in range(rng.randint(1, 200))] for _ in range(count)]


@pytest.mark.parametrize("temperature", TEMPERATURES)
async def test_the_text_is_plain_text_and_nothing_is_read_twice(
    target: LlamaModel, passes: list[tuple[int, int]], temperature: float
) -> None:
    drafted = accepted = 0
    for index, prompt in enumerate(prompts(16)):
        sampling = SamplingParams(temperature=temperature, seed=index, max_tokens=ANSWER_TOKENS)
        plain, _ = await write(target, prompt, sampling)
        passes.clear()
        length = index % target.returnable_tokens + 1
        guesser = Guesser([*prompt, *plain], index)
        got, rounds = await write(target, prompt, sampling, fixed(length), drafter=guesser)
        assert got == plain, index
        assert not [count for count, rows in passes if not rows], "prompt is still held"
        drafted += sum(stats.drafted for stats in rounds)
        accepted += sum(stats.accepted for stats in rounds)
    assert 0.3 < accepted / drafted < 0.9


@pytest.mark.parametrize("temperature", TEMPERATURES)
async def test_a_draft_costs_reading_where_it_is_longer_than_can_be_taken_back_and_never_text(
    target: LlamaModel, passes: list[tuple[int, int]], temperature: float
) -> None:
    prompt = prompts(1)[0]
    sampling = SamplingParams(temperature=temperature, seed=3, max_tokens=3 * ANSWER_TOKENS)
    plain, _ = await write(target, prompt, sampling)
    passes.clear()
    wrong = [*prompt, *(5 + token_id % 500 for token_id in plain), *[9] * 16]
    got, _ = await write(target, prompt, sampling, fixed(16), drafter=Guesser(wrong, 0))
    assert got == plain
    reads = [count for count, rows in passes if not rows]
    assert bool(reads) == (target.returnable_tokens < 16)


@pytest.mark.parametrize("temperature", TEMPERATURES)
async def test_whatever_the_portfolio_looks_up_the_text_is_plain_text(
    target: LlamaModel, temperature: float
) -> None:
    # Passes that cost the same however wide they are: then it drafts whatever it finds.
    record = DraftingRecord(CostTable({0: {1: 1e-3, 17: 1e-3}}, max_width=17))
    lookup = LookupDrafter(remembered_tokens=512)
    drafted = 0
    for index, prompt in enumerate(prompts(8)):
        prompt = prompt[:40] * 3
        sampling = SamplingParams(temperature=temperature, seed=index, max_tokens=2 * ANSWER_TOKENS)
        plain, _ = await write(target, prompt, sampling)
        for _ in range(2):
            portfolio = Portfolio(None, lookup, record, max_draft_tokens=target.returnable_tokens)
            got, rounds = await write(target, prompt, sampling, portfolio=portfolio)
            assert got == plain, index
            drafted += sum(stats.drafted for stats in rounds)
    assert drafted > 50


@pytest.mark.parametrize("quantization", ["Q8_0", "F16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
async def test_deterministic_text_is_the_same_to_the_end_of_a_long_context(
    tmp_path, architecture: str, quantization: str
) -> None:
    path = tmp_path / "target.gguf"
    write_tiny_hybrid(path, architecture, quantization=quantization, context=2048)
    options = OPTIONS.model_copy(update={"context_tokens": 600, "flash_attention": "off"})
    sampling = SamplingParams(temperature=0.8, seed=5, max_tokens=2000)
    config = fixed(7, deterministic=True)
    with LlamaModel.open(path, options) as model:
        plain, _ = await write(model, [1, 2, 3, 4], sampling, config)
        assert len(plain) == 600 - 8 - 4
        guesser = Guesser([1, 2, 3, 4, *plain], 0)
        got, rounds = await write(model, [1, 2, 3, 4], sampling, config, drafter=guesser)
        assert got == plain
        assert sum(stats.accepted for stats in rounds) > 200


async def test_turn_after_turn_the_text_is_that_of_a_model_just_opened(target: LlamaModel) -> None:
    sampling = SamplingParams(temperature=0.8, seed=1, max_tokens=ANSWER_TOKENS)
    text = prompts(3)[2][:60]
    for turn in range(3):
        target.session.rollback(0)
        fresh, _ = await write(target, text, sampling)
        for _ in range(2):
            guesser = Guesser([*text, *fresh], turn)
            again, _ = await write(target, text, sampling, fixed(5), drafter=guesser)
            assert again == fresh
        # The next turn goes on from within the answer, as when a template leaves some of it out.
        text = [*text, *fresh[: 20 - 5 * turn], *prompts(3)[turn][:10]]
