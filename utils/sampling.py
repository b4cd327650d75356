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
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from config import SamplingParams
from utils.constraint import HeldAnswer
from utils.errors import ModelError
from utils.model_session import FloatArray
from utils.truncation import truncated

MOST_ONE_BY_ONE = 12
KEPT_CERTAINTIES = 1024
MASK = 2**64 - 1
_ALL = np.array([1.0])
_ALL.flags.writeable = False


@dataclass(frozen=True, slots=True)
class Distribution:
    """Probabilities over the token ids that are possible at all: ids ascending, sum 1."""

    token_ids: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @staticmethod
    @lru_cache(KEPT_CERTAINTIES)
    def certain(token_id: int) -> Distribution:
        """Return the distribution in which one token has all the mass."""
        # What is drafted is mostly what the target picks, and the same words come again.
        token_ids = np.array([token_id])
        token_ids.flags.writeable = False
        return Distribution(token_ids, _ALL)

    @classmethod
    def of_weights(cls, token_ids: NDArray[np.int64], weights: NDArray[np.float64]) -> Distribution:
        """Normalise non-negative weights, dropping the ids of those that are zero."""
        if np.count_nonzero(weights) < len(weights):
            kept = weights > 0
            token_ids, weights = token_ids[kept], weights[kept]
        return cls(token_ids, weights / np.add.reduce(weights))

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
        """Return how far a logit is above the largest other one that is allowed, as both stand
        after penalties and bias.
        """
        if self._edits:
            logits = self._edit(logits, before, drafted)
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
        token_ids = truncated(logits, top, params.top_k, params.top_p)
        if len(token_ids) == 1:
            return Distribution.certain(int(token_ids[0]))
        values = logits[token_ids].astype(np.float64) - top
        if params.min_p > 0:
            kept = values >= math.log(params.min_p)
            token_ids, values = token_ids[kept], values[kept]
        return Distribution.of_weights(token_ids, np.exp(values / params.temperature))


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
        token_ids = distribution.token_ids
        if len(token_ids) == 1:
            return int(token_ids[0])
        return int(token_ids[self.waiting_times(distribution, position).argmin()])

    def pick_clearly(self, distribution: Distribution, position: int) -> tuple[int, float]:
        """Draw the token at `position`, and say by what logarithm the runner-up was behind."""
        token_ids = distribution.token_ids
        if len(token_ids) == 1:
            return int(token_ids[0]), math.inf
        times = self.waiting_times(distribution, position)
        best = times.argmin()
        first = float(times[best])
        times[best] = math.inf
        return int(token_ids[best]), math.log(float(times[times.argmin()]) / first)

    def waiting_times(self, distribution: Distribution, position: int) -> NDArray[np.float64]:
        """Return the time at which each token would win, in the order of its ids."""
        key = (self._seed + position * 0xD1B54A32D192ED03) & MASK
        token_ids = distribution.token_ids
        if len(token_ids) <= MOST_ONE_BY_ONE:
            bits = np.array([_mix(token_id, key) for token_id in token_ids.tolist()])
        else:
            bits = _mix_all(token_ids.astype(np.uint64), np.uint64(key))
        times: NDArray[np.float64] = -np.log((bits + 0.5) * 2.0**-53) / distribution.probabilities
        return times


def _mix(token_id: int, key: int) -> float:
    """Return 53 random bits: the finaliser of splitmix64 over the id's place in its sequence."""
    bits = (token_id * 0x9E3779B97F4A7C15 + key) & MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
    return float((bits ^ (bits >> 31)) >> 11)


def _mix_all(bits: NDArray[np.uint64], key: np.uint64) -> NDArray[np.float64]:
    """Return the same for many ids, which is slower for a few."""
    bits = bits * np.uint64(0x9E3779B97F4A7C15) + key
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((bits ^ (bits >> np.uint64(31))) >> np.uint64(11)).astype(np.float64)


def lead(logits: FloatArray, token_id: int) -> float:
    """Return how far a logit is above the largest other one; `logits` is left as it was."""
    value = logits[token_id]
    logits[token_id] = -np.inf
    second = logits[logits.argmax()]
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
