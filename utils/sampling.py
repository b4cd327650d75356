"""From logits to the distribution that the next token is drawn from, and two ways to draw.

The order is llama.cpp's: penalties and bias, top-k, top-p, min-p, temperature. What a grammar does
not allow is left out before all truncation. Distributions are sparse: after truncation a few dozen
ids are left of a vocabulary of 150,000.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config import SamplingParams
from utils.constraint import HeldAnswer
from utils.errors import ModelError
from utils.model_session import FloatArray

BLOCK = 64
MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Distribution:
    """Probabilities over the token ids that are possible at all: ids ascending, sum 1."""

    token_ids: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @classmethod
    def certain(cls, token_id: int) -> Distribution:
        """Return the distribution in which one token has all the mass."""
        return cls(np.array([token_id]), np.array([1.0]))

    @classmethod
    def of_weights(cls, token_ids: NDArray[np.int64], weights: NDArray[np.float64]) -> Distribution:
        """Normalise non-negative weights, dropping the ids of those that are zero."""
        kept = weights > 0
        return cls(token_ids[kept], weights[kept] / weights[kept].sum())

    def at(self, token_id: int) -> float:
        """Return the probability of one token."""
        index = int(np.searchsorted(self.token_ids, token_id))
        if index < len(self.token_ids) and self.token_ids[index] == token_id:
            return float(self.probabilities[index])
        return 0.0

    def at_ids(self, token_ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probabilities of several tokens."""
        index = np.searchsorted(self.token_ids, token_ids)
        index[index == len(self.token_ids)] = 0
        return np.where(self.token_ids[index] == token_ids, self.probabilities[index], 0.0)


class Sampler:
    """Applies one set of sampling parameters to rows of logits."""

    def __init__(self, params: SamplingParams, held: HeldAnswer | None = None) -> None:
        """Tokens that `held` does not allow are left out before anything else."""
        self._params = params
        self._edits = params.has_penalties or bool(params.logit_bias)
        self._is_greedy = params.is_greedy or params.top_k == 1
        self._held = held

    def distribution(
        self, logits: FloatArray, before: Sequence[int], drafted: Sequence[int] = ()
    ) -> Distribution:
        """Return the distribution of the token that follows `before` and `drafted`.

        `logits` has shape (n_vocab,) and is not changed. Raises `ModelError` where it holds
        no finite maximum: corrupt weights give NaN without any other sign.
        """
        if self._edits:
            logits = self._edit(logits, before, drafted)
        if self._held is None:
            return self._unheld(logits)
        if self._is_greedy and self._held.fits(before, drafted, int(logits.argmax())):
            return self._unheld(logits)
        token_ids = self._held.allowed(len(logits), before, drafted)
        within = self._unheld(logits[token_ids])
        return Distribution(token_ids[within.token_ids].astype(np.int64), within.probabilities)

    def lead(
        self, logits: FloatArray, token_id: int, before: Sequence[int], drafted: Sequence[int]
    ) -> float:
        """Return how far a logit is above the largest other one that is allowed."""
        if self._held is None:
            return lead(logits, token_id)
        value = logits[token_id]
        logits[token_id] = -np.inf
        second = int(logits.argmax())
        logits[token_id] = value
        if logits[second] <= value and self._held.fits(before, drafted, second):
            return float(value - logits[second])
        token_ids = self._held.allowed(len(logits), before, drafted)
        return lead(logits[token_ids], int(np.searchsorted(token_ids, token_id)))

    def _unheld(self, logits: FloatArray) -> Distribution:
        best = int(logits.argmax())
        top = float(logits[best])
        if not math.isfinite(top):
            raise ModelError(
                f"the model produced invalid values: its largest logit is {top}; "
                "the file is damaged or of a kind that llama.cpp does not support"
            )
        if self._is_greedy or self._leaves_one(logits, best):
            return Distribution.certain(best)
        return self._truncate(logits, top)

    def _leaves_one(self, logits: FloatArray, best: int) -> bool:
        """Tell at once where top-p leaves one token, as it does for most: it leads by so much."""
        params = self._params
        if params.top_p >= 1:
            return False
        others = (params.top_k or len(logits)) - 1
        # All others together have less than 1 - top_p, even were each as likely as the second.
        return lead(logits, best) > math.log(max(1, others) * params.top_p / (1 - params.top_p))

    def _edit(
        self, logits: FloatArray, before: Sequence[int], drafted: Sequence[int]
    ) -> FloatArray:
        params = self._params
        logits = logits.copy()
        if params.has_penalties:
            window = params.penalty_window
            recent = (*before[max(0, len(before) + len(drafted) - window) :], *drafted)[-window:]
            for token_id, count in Counter(recent).items():
                if token_id >= len(logits):
                    continue
                value = float(logits[token_id])
                penalty = params.repetition_penalty
                value = value * penalty if value <= 0 else value / penalty
                logits[token_id] = (
                    value - count * params.frequency_penalty - params.presence_penalty
                )
        for token_id, bias in params.logit_bias.items():
            if 0 <= token_id < len(logits):
                logits[token_id] += bias
        return logits

    def _truncate(self, logits: FloatArray, top: float) -> Distribution:
        params = self._params
        if params.top_k:
            token_ids = largest(logits, params.top_k)
            total = None
        elif params.top_p < 1:
            total = float(np.exp(logits - np.float32(top), dtype=np.float32).sum(dtype=np.float64))
            token_ids = _nucleus_candidates(logits, top, params.top_p * total)
        else:
            token_ids, total = np.arange(len(logits)), None
        values = logits[token_ids].astype(np.float64) - top
        if params.top_p < 1:
            token_ids, values = _nucleus(token_ids, values, params.top_p, total)
        if params.min_p > 0:
            kept = values >= math.log(params.min_p)
            token_ids, values = token_ids[kept], values[kept]
        return Distribution.of_weights(token_ids, np.exp(values / params.temperature))


def largest(logits: FloatArray, count: int) -> NDArray[np.int64]:
    """Return the ids of the `count` largest logits, ascending; ties go to the smaller ids.

    Exact: at least `count` logits reach the count-th largest maximum of blocks of 64, so only
    the few above that threshold are sorted (5-7 times faster than argpartition of the row).
    """
    size = len(logits)
    if count >= size:
        return np.arange(size)
    whole = size // BLOCK
    if whole > count:
        maxima = logits[: whole * BLOCK].reshape(whole, BLOCK).max(axis=1)
        threshold = np.partition(maxima, whole - count)[whole - count]
        token_ids = np.flatnonzero(logits >= threshold)
    else:
        token_ids = np.arange(size)
    if len(token_ids) > count:
        order = np.argsort(-logits[token_ids], kind="stable")[:count]
        token_ids = np.sort(token_ids[order])
    return token_ids


def _nucleus_candidates(logits: FloatArray, top: float, mass: float) -> NDArray[np.int64]:
    """Ids of so many of the largest logits that together they reach `mass`."""
    count = 256
    while count < len(logits):
        token_ids = largest(logits, count)
        if np.exp(logits[token_ids].astype(np.float64) - top).sum() >= mass:
            return token_ids
        count *= 8
    return np.arange(len(logits))


def _nucleus(
    token_ids: NDArray[np.int64], values: NDArray[np.float64], top_p: float, total: float | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keep the likeliest tokens up to and including the one that reaches `top_p`."""
    order = np.argsort(-values, kind="stable")
    weights = np.exp(values[order])
    reached = np.cumsum(weights) / (weights.sum() if total is None else total)
    kept = np.sort(order[: int(np.searchsorted(reached, top_p)) + 1])
    return token_ids[kept], values[kept]


class SharedNoise:
    """Noise keyed by seed and position, so that everyone who asks picks with the same.

    An exponential race, which is the Gumbel-max trick on a sparse support (Daliri et al., arXiv
    2408.07978): every id gets a waiting time that depends on seed, position and id alone, and
    the first one wins. Each pick is an exact draw, and two similar distributions mostly agree.
    """

    def __init__(self, seed: int) -> None:
        self._seed = (seed * 0x8CB92BA72F3D8DD7) & MASK

    def pick(self, distribution: Distribution, position: int) -> int:
        """Draw the token at `position`."""
        if len(distribution.token_ids) == 1:
            return int(distribution.token_ids[0])
        return int(distribution.token_ids[self.waiting_times(distribution, position).argmin()])

    def pick_clearly(self, distribution: Distribution, position: int) -> tuple[int, float]:
        """Draw the token at `position`, and say by what logarithm the runner-up was behind."""
        if len(distribution.token_ids) == 1:
            return int(distribution.token_ids[0]), math.inf
        times = self.waiting_times(distribution, position)
        best = int(times.argmin())
        first = float(times[best])
        times[best] = math.inf
        return int(distribution.token_ids[best]), math.log(float(times.min()) / first)

    def waiting_times(self, distribution: Distribution, position: int) -> NDArray[np.float64]:
        """Return the time at which each token would win, in the order of its ids."""
        key = np.uint64((self._seed + position * 0xD1B54A32D192ED03) & MASK)
        bits = _mix(distribution.token_ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key)
        uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        times: NDArray[np.float64] = -np.log(uniform) / distribution.probabilities
        return times


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of splitmix64."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def lead(logits: FloatArray, token_id: int) -> float:
    """Return how far a logit is above the largest other one; `logits` is left as it was."""
    value = logits[token_id]
    logits[token_id] = -np.inf
    second = logits.max()
    logits[token_id] = value
    return float(value - second)


class Chance:
    """Independent randomness: one stream for drafting, one for accepting, one for drawing."""

    def __init__(self, seed: int) -> None:
        streams = np.random.SeedSequence(seed).spawn(3)
        self._draft, self._accept, self._draw = (np.random.default_rng(s) for s in streams)

    def draft(self, distribution: Distribution) -> int:
        """Draw a token to propose."""
        return _invert(distribution, self._draft.random())

    def accept(self, probability: float) -> bool:
        """Say yes with the given probability."""
        return bool(self._accept.random() < probability)

    def draw(self, distribution: Distribution) -> int:
        """Draw a token to emit."""
        return _invert(distribution, self._draw.random())


def _invert(distribution: Distribution, uniform: float) -> int:
    cumulative = np.cumsum(distribution.probabilities)
    index = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    return int(distribution.token_ids[min(index, len(cumulative) - 1)])
