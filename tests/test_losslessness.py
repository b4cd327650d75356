"""Losslessness through the real decoder: what it writes is distributed as the target alone.

The fake target is a Markov chain, so every emitted token is one sample of a known conditional
distribution. Each setting draws SAMPLES tokens and tests all conditionals at once: the sum of
their chi-squares has V(V-1) degrees of freedom or fewer, and the limit is its quantile for one
false alarm in 100,000. With 21 settings the odds of a false alarm in a run with fresh seeds are
one in 4,700; the seeds here are fixed. Negative controls show that the test finds wrong rules.

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
from utils.drafters.lookup import LookupDrafter
from utils.drafters.model_drafter import ModelDrafter
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
}
DRAFTS = ("same", "perturbed", "disjoint")
SETTINGS: list[tuple[VerifierName, str, str]] = [
    *itertools.product(("coupled",), SAMPLINGS, (*DRAFTS, "lookup")),
    *itertools.product(("rejection",), ("top-p",), DRAFTS),
    *itertools.product(("block",), ("temperature",), DRAFTS),
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


async def sample_pairs(
    samples: int, verifier: VerifierName, sampling: SamplingParams, draft: str, seed: int
) -> np.ndarray:
    """Counts of (token, next token) in one long answer."""
    drafter = (
        LookupDrafter()
        if draft == "lookup"
        else ModelDrafter(draft, FakeSession(draft_table(draft)), vocabulary_size=SIZE)
    )
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
        )
        async for event in events:
            assert not isinstance(event, Mode) or event.mode == "speculative", event
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
