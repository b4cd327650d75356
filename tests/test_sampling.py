"""Sampling against a slow, obvious reference; noise and chance against their distributions."""

from __future__ import annotations

import random

import numpy as np
import pytest

from config import SamplingParams
from utils.constraint import HeldAnswer
from utils.errors import ModelError
from utils.sampling import Chance, Distribution, Sampler, SharedNoise
from utils.truncation import largest


def reference(
    logits: np.ndarray, params: SamplingParams, before: list[int], drafted: list[int]
) -> dict[int, float]:
    """The documented order, one step after the other, over plain lists."""
    values = {i: float(v) for i, v in enumerate(logits)}
    window = [*before, *drafted][-params.penalty_window :] if params.penalty_window else []
    for token_id in set(window):
        value = values[token_id]
        value = (
            value * params.repetition_penalty if value <= 0 else value / params.repetition_penalty
        )
        count = window.count(token_id)
        values[token_id] = value - count * params.frequency_penalty - params.presence_penalty
    for token_id, bias in params.logit_bias.items():
        values[token_id] += bias
    ranked = sorted(values, key=lambda i: (-values[i], i))
    if params.temperature == 0:
        return {ranked[0]: 1.0}
    if params.top_k:
        ranked = ranked[: params.top_k]
    top = values[ranked[0]]
    mass = {i: np.exp(values[i] - top) for i in ranked}
    total, reached, kept = sum(mass.values()), 0.0, []
    for i in ranked:
        kept.append(i)
        reached += mass[i] / total
        if reached >= params.top_p:
            break
    kept = [i for i in kept if mass[i] >= params.min_p]
    weights = {i: np.exp((values[i] - top) / params.temperature) for i in kept}
    total = sum(weights.values())
    return {i: w / total for i, w in weights.items()}


PARAMS = [
    SamplingParams(temperature=0),
    SamplingParams(temperature=0.8, top_k=40, top_p=0.95),
    SamplingParams(temperature=1.3, top_k=0, top_p=1.0),
    SamplingParams(temperature=1.0, top_k=0, top_p=0.9),
    SamplingParams(temperature=0.7, top_k=0, top_p=0.8, min_p=0.05),
    SamplingParams(temperature=0.9, top_k=5, top_p=1.0, min_p=0.2),
    SamplingParams(temperature=1.0, repetition_penalty=1.3, frequency_penalty=0.4),
    SamplingParams(temperature=1.0, presence_penalty=1.1, penalty_window=3, top_p=0.9),
    SamplingParams(temperature=1.0, logit_bias={3: 5.0, 4: -100.0}),
    SamplingParams(temperature=0, repetition_penalty=1.8, penalty_window=64),
]


@pytest.mark.parametrize("params", PARAMS, ids=range(len(PARAMS)))
@pytest.mark.parametrize("size", [7, 300, 9000])
def test_distributions_equal_the_reference(params: SamplingParams, size: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(5):
        logits = (rng.standard_normal(size) * 3).astype(np.float32)
        before, drafted = rng.integers(0, size, 100).tolist(), rng.integers(0, size, 2).tolist()
        untouched = logits.copy()
        got = Sampler(params).distribution(logits, before, drafted)
        wanted = reference(logits, params, before, drafted)
        assert dict(zip(got.token_ids.tolist(), got.probabilities, strict=True)) == pytest.approx(
            wanted, abs=1e-6
        )
        assert (logits == untouched).all()


@pytest.mark.parametrize("size", [2, 300, 9000])
def test_a_token_that_leads_by_far_is_found_alone_just_where_the_reference_has_it_alone(size):
    rng = np.random.default_rng(size)
    alone = 0
    for params in (SamplingParams(), SamplingParams(top_k=0, top_p=0.9), SamplingParams(top_k=3)):
        for leads_by in np.linspace(0, 14, 57):
            logits = rng.uniform(-0.01, 0, size).astype(np.float32)
            logits[size // 2] = leads_by
            wanted = reference(logits, params, [], [])
            got = Sampler(params).distribution(logits, [])
            assert set(got.token_ids.tolist()) == set(wanted)
            alone += len(wanted) == 1
    assert 20 < alone < 150


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1000, 4096, 40_001])
def test_largest_finds_exactly_the_largest_logits(size: int) -> None:
    rng = np.random.default_rng(size)
    for count in (1, 2, 40, 63):
        logits = rng.integers(0, 50, size).astype(np.float32)  # many ties
        wanted = sorted(sorted(range(size), key=lambda i: (-logits[i], i))[:count])
        assert largest(logits, count).tolist() == wanted


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_invalid_logits_are_an_error_and_not_a_token(bad: float) -> None:
    logits = np.zeros(100, np.float32)
    logits[17] = bad
    for params in (SamplingParams(temperature=0), SamplingParams()):
        with pytest.raises(ModelError, match="invalid values"):
            Sampler(params).distribution(logits, [])


@pytest.mark.parametrize("penalty", [0.01, 4])
def test_no_penalty_that_is_allowed_makes_sound_logits_invalid(penalty: float) -> None:
    params = SamplingParams(
        repetition_penalty=penalty,
        frequency_penalty=-2,
        presence_penalty=-2,
        penalty_window=4096,
        logit_bias={1: 100.0},
    )
    logits = np.array([1e6, 1e6, -1e6], np.float32)
    assert Sampler(params).distribution(logits, [0, 1, 2] * 1365).token_ids.size


def test_logits_of_minus_infinity_everywhere_are_an_error() -> None:
    with pytest.raises(ModelError, match="invalid values"):
        Sampler(SamplingParams()).distribution(np.full(10, -np.inf, np.float32), [])


def test_masked_tokens_have_no_probability() -> None:
    logits = np.array([0, -np.inf, 1, -np.inf], np.float32)
    got = Sampler(SamplingParams(top_k=0, top_p=1)).distribution(logits, [])
    assert got.token_ids.tolist() == [0, 2]


def test_probabilities_are_found_by_id() -> None:
    distribution = Distribution.of_weights(np.array([2, 5, 9]), np.array([1.0, 2.0, 1.0]))
    assert [distribution.at(i) for i in (0, 2, 5, 9, 11)] == [0, 0.25, 0.5, 0.25, 0]
    assert distribution.at_ids(np.array([5, 7, 9, 100])).tolist() == [0.5, 0, 0.25, 0]


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    expected = probabilities * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


WEIGHTS = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.03, 0.01])
TOKENS = Distribution.of_weights(np.array([1, 4, 9, 700, 4000, 31_000, 150_000]), WEIGHTS)
LIMIT_6 = 27.9  # chi-square, 6 degrees of freedom, one false alarm in 10,000


def test_shared_noise_draws_from_the_distribution_over_positions_and_over_seeds() -> None:
    index = {token_id: i for i, token_id in enumerate(TOKENS.token_ids.tolist())}
    for picks in (
        (SharedNoise(11).pick(TOKENS, position) for position in range(40_000)),
        (SharedNoise(seed).pick(TOKENS, 5) for seed in range(40_000)),
    ):
        counts = np.bincount([index[pick] for pick in picks], minlength=7)
        assert chi_square(counts, WEIGHTS) < LIMIT_6


def test_shared_noise_of_neighbouring_positions_is_independent() -> None:
    """Chi-square over 49 pairs, 48 degrees of freedom, one false alarm in 10,000."""
    index = {token_id: i for i, token_id in enumerate(TOKENS.token_ids.tolist())}
    picks = [index[SharedNoise(3).pick(TOKENS, position)] for position in range(60_001)]
    counts = np.zeros((7, 7))
    np.add.at(counts, (picks[::2][:30_000], picks[1::2][:30_000]), 1)
    assert chi_square(counts.ravel(), np.outer(WEIGHTS, WEIGHTS).ravel()) < 93


def test_shared_noise_depends_on_seed_and_position_alone() -> None:
    first = [SharedNoise(5).pick(TOKENS, position) for position in range(50)]
    assert first == [SharedNoise(5).pick(TOKENS, position) for position in range(50)]
    assert first != [SharedNoise(6).pick(TOKENS, position) for position in range(50)]


def test_chance_draws_from_the_distribution_in_every_stream() -> None:
    chance = Chance(2)
    index = {token_id: i for i, token_id in enumerate(TOKENS.token_ids.tolist())}
    for draw in (chance.draft, chance.draw):
        counts = np.bincount([index[draw(TOKENS)] for _ in range(40_000)], minlength=7)
        assert chi_square(counts, WEIGHTS) < LIMIT_6
    accepted = sum(chance.accept(0.3) for _ in range(40_000))
    assert abs(accepted - 12_000) < 4 * np.sqrt(40_000 * 0.3 * 0.7)


def test_streams_of_chance_do_not_disturb_each_other() -> None:
    quiet, busy = Chance(9), Chance(9)
    for _ in range(10):
        busy.draft(TOKENS)
    assert [quiet.draw(TOKENS) for _ in range(20)] == [busy.draw(TOKENS) for _ in range(20)]


def test_the_global_random_state_is_left_alone() -> None:
    random.seed(1)
    state = random.getstate()
    Chance(1).draw(TOKENS)
    SharedNoise(1).pick(TOKENS, 0)
    assert random.getstate() == state


class _Even:
    """Allows even tokens only."""

    start = 0

    def after(self, state: int, token_id: int) -> int | None:
        return None if token_id % 2 else state

    def allowed(self, state: int) -> np.ndarray:
        return np.arange(0, 100, 2, dtype=np.int32)


@pytest.mark.parametrize("params", PARAMS)
def test_what_is_not_allowed_is_left_out_before_all_else(params: SamplingParams) -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        logits = (rng.standard_normal(60) * 3).astype(np.float32)
        before = rng.integers(0, 30, 20).tolist()
        before = [2 * token_id for token_id in before]
        held = HeldAnswer(_Even(), before)
        got = Sampler(params, held).distribution(logits, before, [4])
        forbidden = logits.copy()
        forbidden[1::2] = -1e9
        wanted = reference(forbidden, params, before, [4])
        assert set(got.token_ids.tolist()) == {n for n, share in wanted.items() if share > 0}
        for token_id, share in zip(got.token_ids.tolist(), got.probabilities, strict=True):
            assert share == pytest.approx(wanted[token_id], rel=1e-3)


@pytest.mark.parametrize("is_held", [False, True])
def test_the_lead_is_that_of_logits_after_penalties_and_bias(is_held: bool) -> None:
    params = SamplingParams(temperature=0, presence_penalty=2.0, logit_bias={2: 3.0, 4: 1.0})
    sampler = Sampler(params, HeldAnswer(_Even(), []) if is_held else None)
    logits = np.array([4.0, 0.0, 1.5, 0.0, 1.0], np.float32)
    untouched = logits.copy()
    assert sampler.distribution(logits, [0], []).token_ids.tolist() == [2]
    assert sampler.lead(logits, 2, [0], []) == pytest.approx(2.5)
    assert (logits == untouched).all()


def test_the_lead_is_over_the_largest_other_that_is_allowed() -> None:
    logits = np.array([1.0, 9.0, 4.0, 8.0, 3.5, 0.0], np.float32)
    held = Sampler(SamplingParams(temperature=0), HeldAnswer(_Even(), []))
    assert held.distribution(logits, []).token_ids.tolist() == [2]
    assert held.lead(logits, 2, [], []) == pytest.approx(0.5)
    logits[1] = logits[3] = 3.8
    assert held.lead(logits, 2, [], []) == pytest.approx(0.5)
    logits[4] = 3.9
    assert held.lead(logits, 2, [], []) == pytest.approx(0.1)
    assert held.lead(logits[:2], 0, [], []) == np.inf
