"""Losslessness through the real decoder: what it writes is distributed as the target alone.

The fake target is a Markov chain, so every emitted token is one sample of a known conditional
distribution. Each setting draws SAMPLES tokens and tests all conditionals at once: the sum of
their chi-squares has V(V-1) degrees of freedom or fewer, and the limit is its quantile for one
false alarm in 100,000. With 38 settings the odds of a false alarm in a run with fresh seeds are
one in 2,600; the seeds here are fixed. Negative controls show that the test finds wrong rules.

`pytest tests/test_losslessness.py --samples 200000` is the full size.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from config import SamplingParams, SpeculativeConfig, VerifierName
from tests.fake_model import FakeSession, FakeVocabulary
from tests.test_sampling import reference
from tests.test_token_validator import WRONG_RULES
from utils import speculative_decoding
from utils.cost_table import CostTable
from utils.drafters.lookup import LookupDrafter
from utils.drafters.model_drafter import ModelDrafter
from utils.drafters.portfolio import Portfolio
from utils.drafters.record import DraftingRecord
from utils.events import Mode, Tokens
from utils.sampling import Chance, Distribution, SharedNoise
from utils.speculative_decoding import SpeculativeDecoder
from utils.token_validator import CoupledVerifier

pytestmark = pytest.mark.no_cover

SIZE = 6
SAMPLINGS = {
    "temperature": SamplingParams(temperature=1.2, top_k=0, top_p=1),
    "top-k": SamplingParams(temperature=0.8, top_k=3, top_p=1),
    "top-p": SamplingParams(temperature=1.0, top_k=0, top_p=0.8, min_p=0.05),
    "penalties": SamplingParams(
        temperature=1.0,
        top_k=0,
        top_p=1,
        repetition_penalty=1.5,
        presence_penalty=0.7,
        penalty_window=1,
    ),
    "bias": SamplingParams(
        temperature=1.0,
        top_k=0,
        top_p=0.95,
        frequency_penalty=0.9,
        penalty_window=1,
        logit_bias={1: 1.5, 4: -2.0},
    ),
}
DRAFTS = ("same", "perturbed", "disjoint")
SETTINGS: list[tuple[VerifierName, str, str]] = [
    *itertools.product(("coupled",), SAMPLINGS, (*DRAFTS, "lookup")),
    *itertools.product(("rejection",), ("top-p",), DRAFTS),
    *itertools.product(("block",), ("temperature",), DRAFTS),
]

ADAPTIVE: list[tuple[VerifierName, str, bool]] = [
    *itertools.product(("coupled", "rejection", "block"), ("same", "perturbed"), (False, True))
]


def target_table() -> np.ndarray:
    table = np.random.default_rng(4).standard_normal((SIZE, SIZE)).astype(np.float32) * 1.5
    return table


def draft_table(kind: str) -> np.ndarray:
    table = target_table()
    if kind == "perturbed":
        noise = np.random.default_rng(5).standard_normal(table.shape)
        return (table + noise).astype(np.float32)
    return (-4 * table).astype(np.float32) if kind == "disjoint" else table


class ShortLookup(LookupDrafter):
    """Copies two tokens, so that a model has something left to go on with."""

    def copy(self, limit, picker):
        return super().copy(min(limit, 2), picker)


class SteadyRecord(DraftingRecord):
    """Costs that no fake model changes.

    Wide passes cost so much that short drafts pay best; or they cost little, and what is copied
    seems right so often that the model goes on from there.
    """

    def __init__(self, *, trusts_copies: bool = False) -> None:
        step_s = 0.1 if trusts_copies else 0.45
        passes = {width: 1 + step_s * (width - 1) for width in range(1, 18)}
        super().__init__(CostTable({0: passes}, max_width=17), draft_token_s=0.02)
        self.copies_followed = 0
        if trusts_copies:
            self.matches.learn([(length, True) for length in range(20)] * 50)
            self.matches.learn = self.margins.learn = lambda judged, first=None: None

    def note_round(self, stats, pass_s, width, *, was_probe):
        pass

    def note_draft(self, count, draft_s):
        pass


class Watched(Portfolio):
    """Counts the drafts that a model made from where a copy ended."""

    def observe(self, token_ids, stats, *, pass_s, width):
        self._record.copies_followed += self._head > 0 and self._drafted > 0
        super().observe(token_ids, stats, pass_s=pass_s, width=width)


def watched(model: ModelDrafter, record: SteadyRecord) -> Watched:
    return Watched(model, ShortLookup(), record, max_draft_tokens=8, fallback_enabled=False)


async def sample_pairs(
    samples: int,
    verifier: VerifierName,
    sampling: SamplingParams,
    draft: str,
    seed: int,
    record: SteadyRecord | None = None,
) -> np.ndarray:
    """Counts of (token, next token) in one long answer; with a record, drafted as seems best."""
    model = ModelDrafter(draft, FakeSession(draft_table(draft)), vocabulary_size=SIZE)
    drafter = LookupDrafter() if draft == "lookup" else model
    decoder = SpeculativeDecoder(FakeSession(target_table()), FakeVocabulary(SIZE))
    tokens: list[int] = [0]
    seeds = itertools.count(seed)
    while len(tokens) <= samples:
        events = decoder.generate(
            tokens[-1:],
            sampling=sampling.model_copy(update={"max_tokens": 5000, "seed": next(seeds)}),
            speculative=SpeculativeConfig(
                verifier=verifier, max_draft_tokens=3, acceptance_threshold=0
            ),
            drafter=drafter,
            portfolio=record and watched(model, record),
        )
        async for event in events:
            assert not isinstance(event, Mode) or event.mode == "speculative" or record, event
            if isinstance(event, Tokens):
                tokens += [token.token_id for token in event.tokens]
    counts = np.zeros((SIZE, SIZE))
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    return counts


def excess_over_chance(counts: np.ndarray, sampling: SamplingParams) -> float:
    """Chi-square over all conditionals, in units of its quantile for one alarm in 100,000."""
    chi_square = degrees = 0.0
    for last in range(SIZE):
        wanted = reference(target_table()[last], sampling, [last], [])
        expected = np.array([wanted.get(i, 0.0) for i in range(SIZE)]) * counts[last].sum()
        possible = expected > 0
        if counts[last][~possible].sum():
            return np.inf
        chi_square += (
            (counts[last][possible] - expected[possible]) ** 2 / expected[possible]
        ).sum()
        degrees += possible.sum() - 1
    z = 4.265  # normal quantile of 1e-5, turned into one of chi-square (Wilson and Hilferty)
    limit = degrees * (1 - 2 / (9 * degrees) + z * np.sqrt(2 / (9 * degrees))) ** 3
    return chi_square / limit


@pytest.mark.parametrize(("verifier", "sampling", "draft"), SETTINGS)
async def test_the_text_has_the_targets_distribution(
    samples: int, verifier: VerifierName, sampling: str, draft: str
) -> None:
    params = SAMPLINGS[sampling]
    counts = await sample_pairs(samples, verifier, params, draft, seed=1000)
    assert excess_over_chance(counts, params) < 1


@pytest.mark.parametrize(("verifier", "draft", "trusts_copies"), ADAPTIVE)
async def test_the_text_has_the_targets_distribution_however_much_is_drafted_by_whom(
    samples: int, verifier: VerifierName, draft: str, trusts_copies: bool
) -> None:
    params, record = SAMPLINGS["temperature"], SteadyRecord(trusts_copies=trusts_copies)
    counts = await sample_pairs(samples, verifier, params, draft, seed=1000, record=record)
    assert excess_over_chance(counts, params) < 1
    assert not trusts_copies or record.copies_followed > samples / 40


class NoiseOfOnePosition(CoupledVerifier):
    """Picks with the same noise at every position: a known bug of a much copied implementation."""

    def verify(self, draft, target, position):
        return super().verify(draft, target, 0)


WRONG_MAKERS = {
    **{rule.__name__: (lambda seed, rule=rule: rule(Chance(seed))) for rule in WRONG_RULES},
    "NoiseOfOnePosition": lambda seed: NoiseOfOnePosition(SharedNoise(seed)),
}


@pytest.mark.parametrize("name", WRONG_MAKERS)
async def test_wrong_rules_are_found_out(
    monkeypatch: pytest.MonkeyPatch, samples: int, name: str
) -> None:
    monkeypatch.setattr(
        speculative_decoding, "make_verifier", lambda _, seed: WRONG_MAKERS[name](seed)
    )
    params = SAMPLINGS["temperature"]
    counts = await sample_pairs(samples, "coupled", params, "perturbed", seed=1000)
    assert excess_over_chance(counts, params) > 1


async def test_a_stale_view_of_the_logits_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft's distributions must not be read after its next decode."""
    real = speculative_decoding.Sampler.distribution
    kept: list[np.ndarray] = []

    def late(self, logits, before, drafted=()) -> Distribution:
        kept.append(logits)
        return real(self, kept[-2] if len(kept) > 1 else logits, before, drafted)

    monkeypatch.setattr(speculative_decoding.Sampler, "distribution", late)
    decoder = SpeculativeDecoder(FakeSession(target_table()), FakeVocabulary(SIZE))
    with pytest.raises(Exception, match="invalid values"):
        async for _ in decoder.generate(
            [1], sampling=SAMPLINGS["temperature"], speculative=SpeculativeConfig()
        ):
            pass
