"""Short cuts of sampling against the long way round: nothing that is drawn may depend on them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from config import SamplingParams
from utils.errors import ModelError
from utils.model_session import FloatArray
from utils.sampling import Distribution, Sampler, SharedNoise, lead
from utils.truncation import NEARNESS

SIZES = (1, 10, 4096, 128_256)
PARAMS = [
    SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    for temperature in (0.8, 0.01)
    for top_k in (0, 1, 3, 40)
    for top_p in (1.0, 0.95, 0.9, 0.3)
    for min_p in (0.0, 0.05)
]


def plain_distribution(
    logits: FloatArray, ranked: np.ndarray, params: SamplingParams
) -> Distribution:
    """Everything sorted, nothing guessed; `ranked` are the ids, the largest logit first."""
    kept = ranked[: params.top_k or len(ranked)]
    values = logits[kept].astype(np.float64) - float(logits[ranked[0]])
    if params.top_p < 1:
        reached = np.cumsum(np.exp(values)) / np.exp(values).sum()
        kept = kept[: int(np.searchsorted(reached, params.top_p)) + 1]
    kept = np.sort(kept)
    values = logits[kept].astype(np.float64) - float(logits[ranked[0]])
    likely = np.exp(values) >= params.min_p
    kept, weights = kept[likely], np.exp(values[likely] / params.temperature)
    return Distribution(kept[weights > 0], weights[weights > 0] / weights.sum())


def rows(size: int) -> Iterator[FloatArray]:
    """Rows as models write them and as none does."""
    rng = np.random.default_rng(size)
    for spread in (0.1, 1, 3, 10, 1e8):
        row = (rng.standard_normal(size) * spread).astype(np.float32)
        yield row
        row[rng.permutation(size)[: size // 3]] = -np.inf
        yield row
        yield rng.integers(-2, 3, size).astype(np.float32)
    for ahead in np.linspace(0, 14, 15):
        row = rng.standard_normal(size).astype(np.float32)
        for rank, place in enumerate(rng.integers(0, size, 5)):
            row[place] = 4 + ahead - rank * rng.uniform(0, 2)
        yield row
    yield np.zeros(size, np.float32)
    yield np.full(size, 2.0**28, np.float32)
    row = np.full(size, -np.inf, np.float32)
    row[size // 2] = 1.0
    yield row


@pytest.mark.parametrize("size", SIZES)
def test_short_cuts_end_in_the_same_distribution(size: int) -> None:
    for row in rows(size):
        ranked = np.argsort(-row, kind="stable")
        for params in PARAMS if size < 100_000 else PARAMS[::5]:
            got = Sampler(params).distribution(row, [])
            wanted = plain_distribution(row, ranked, params)
            assert np.array_equal(got.token_ids, wanted.token_ids), params
            assert np.allclose(got.probabilities, wanted.probabilities, rtol=1e-12, atol=0)
        greedy = Sampler(SamplingParams(temperature=0)).distribution(row, [])
        assert greedy.token_ids.tolist() == [ranked[0]]


@pytest.mark.parametrize("top_k", [0, 40])
def test_what_is_too_small_to_be_looked_at_weighs_all_the_same(top_k: int) -> None:
    """Two of 4,096 lead, and whether top-p keeps both is up to all that are too far behind."""
    params = SamplingParams(top_k=top_k)
    near = math.log(NEARNESS * (top_k or 4096) / (1 - params.top_p))
    counts = []
    for second in np.linspace(0.045, 0.055, 41):
        row = np.full(4096, -near - 0.05, np.float32)
        row[7], row[3000] = 0, math.log(second)
        got = Sampler(params).distribution(row, [])
        wanted = plain_distribution(row, np.argsort(-row, kind="stable"), params)
        assert np.array_equal(got.token_ids, wanted.token_ids), second
        counts.append(len(got.token_ids))
    assert {1, 2} == set(counts)


@pytest.mark.parametrize("size", SIZES)
def test_a_value_that_is_none_is_found_wherever_it_stands(size: int) -> None:
    for place in {0, size // 2, size - 1}:
        row = np.zeros(size, np.float32)
        row[place] = np.nan
        for params in PARAMS[::5]:
            with pytest.raises(ModelError, match="invalid values"):
                Sampler(params).distribution(row, [])


@pytest.mark.parametrize("size", SIZES[1:])
def test_the_lead_is_over_the_second_and_changes_nothing(size: int) -> None:
    for row in rows(size):
        ranked, kept = np.argsort(-row, kind="stable"), row.copy()
        assert lead(row, int(ranked[0])) == row[ranked[0]] - row[ranked[1]]
        assert lead(row, int(ranked[1])) == row[ranked[1]] - row[ranked[0]]
        assert (row == kept).all()


def test_the_noise_of_a_token_is_the_same_among_few_and_among_many() -> None:
    rng = np.random.default_rng(0)
    for position in range(100):
        token_ids = np.sort(rng.choice(150_000, 40, replace=False))
        many = SharedNoise(7).waiting_times(Distribution(token_ids, np.ones(40)), position)
        for count in (1, 2, 12, 13):
            few = Distribution(token_ids[:count], np.ones(count))
            assert SharedNoise(7).waiting_times(few, position) == pytest.approx(
                many[:count], rel=1e-14
            )


def test_the_noise_of_a_seed_stays_what_it_was() -> None:
    """So a text that was written with a seed can be written again with a later version."""
    few = Distribution.of_weights(np.array([1, 4, 9, 700]), np.array([0.4, 0.3, 0.2, 0.1]))
    many = Distribution.of_weights(np.arange(0, 4000, 100), np.ones(40))
    picks = [SharedNoise(5).pick(few, position) for position in range(12)]
    assert picks == [1, 1, 1, 4, 1, 4, 4, 9, 4, 4, 1, 1]
    picks = [SharedNoise(2**62 + 1).pick(many, position) for position in range(12)]
    assert picks == [1600, 3400, 1700, 3400, 1300, 3600, 300, 400, 900, 800, 3100, 500]
