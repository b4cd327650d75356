"""Which drafted tokens are kept, and which token follows them: the lossless rules.

Whatever the draft proposes, the emitted tokens are distributed exactly as the target alone would
write them. Three rules, one interface; a draft without probabilities (lookup) counts as certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from config import VerifierName
from utils.sampling import Chance, Distribution, SharedNoise

TargetAt = Callable[[int], Distribution]
EMPTY_MASS = 1e-12


@dataclass(frozen=True, slots=True)
class Draft:
    """Proposed tokens and, where a model drew them, the distribution of each draw."""

    token_ids: tuple[int, ...] = ()
    distributions: tuple[Distribution, ...] | None = None

    def distribution(self, index: int) -> Distribution:
        """Return what token `index` was drawn from."""
        if self.distributions is None:
            return Distribution.certain(self.token_ids[index])
        return self.distributions[index]


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The first `accepted` drafted tokens are kept, and `next_token` follows them."""

    accepted: int
    next_token: int
    source: Literal["bonus", "resampled", "plain"]


class Verifier(Protocol):
    """A lossless rule; `target(i)` is the target's distribution after i drafted tokens."""

    def propose(self, distribution: Distribution, position: int) -> tuple[int, float]:
        """Draw a token for the draft in the way that this rule needs, and say by what margin."""
        ...

    def verify(self, draft: Draft, target: TargetAt, position: int) -> ValidationResult:
        """Judge a draft whose first token would stand at `position`."""
        ...


class CoupledVerifier:
    """Draft and target pick with the same noise; a draft is kept while it equals the pick.

    The text is a function of seed and target alone: the same with any draft, any draft length,
    or none. Greedy decoding is the case without noise.
    """

    def __init__(self, noise: SharedNoise) -> None:
        self._noise = noise

    def propose(self, distribution: Distribution, position: int) -> tuple[int, float]:
        """Pick with the noise that the target will pick with."""
        return self._noise.pick_clearly(distribution, position)

    def verify(self, draft: Draft, target: TargetAt, position: int) -> ValidationResult:
        """Emit the target's picks up to the first that the draft did not foresee."""
        for index, token_id in enumerate(draft.token_ids):
            pick = self._noise.pick(target(index), position + index)
            if pick != token_id:
                return ValidationResult(index, pick, "resampled")
        length = len(draft.token_ids)
        return _after_all(draft, self._noise.pick(target(length), position + length))


class RejectionVerifier:
    """Token-level rejection sampling (Chen et al., arXiv 2302.01318)."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance

    def propose(self, distribution: Distribution, position: int) -> tuple[int, float]:
        """Draw independently of everything else."""
        return _drawn(self._chance, distribution)

    def verify(self, draft: Draft, target: TargetAt, position: int) -> ValidationResult:
        """Keep each token with probability target / draft; resample the first rejected one."""
        for index, token_id in enumerate(draft.token_ids):
            wanted, offered = target(index), draft.distribution(index)
            if not self._chance.accept(wanted.at(token_id) / offered.at(token_id)):
                return ValidationResult(
                    index, self._chance.draw(residual(wanted, offered)), "resampled"
                )
        return _after_all(draft, self._chance.draw(target(len(draft.token_ids))))


class BlockVerifier:
    """Block verification (Sun et al., arXiv 2403.10444): judges the draft as a whole.

    It keeps at least as many tokens as token-level rejection on average, and no valid rule
    keeps more.
    """

    def __init__(self, chance: Chance) -> None:
        self._chance = chance

    def propose(self, distribution: Distribution, position: int) -> tuple[int, float]:
        """Draw independently of everything else."""
        return _drawn(self._chance, distribution)

    def verify(self, draft: Draft, target: TargetAt, position: int) -> ValidationResult:
        """Keep up to the *last* position that passes its test, then draw from what is missing."""
        length, weight = len(draft.token_ids), 1.0
        kept, kept_weight = 0, 1.0
        for index in range(length):
            token_id = draft.token_ids[index]
            ratio = target(index).at(token_id) / draft.distribution(index).at(token_id)
            weight = min(1.0, weight * ratio)
            if weight == 0:
                break
            if self._chance.accept(self._pass_probability(draft, target, index + 1, weight)):
                kept, kept_weight = index + 1, weight
        if kept == length:
            return _after_all(draft, self._chance.draw(target(length)))
        missing = residual(target(kept), draft.distribution(kept), kept_weight)
        return ValidationResult(kept, self._chance.draw(missing), "resampled")

    def _pass_probability(self, draft: Draft, target: TargetAt, kept: int, weight: float) -> float:
        if kept == len(draft.token_ids):
            return weight
        wanted, offered = target(kept), draft.distribution(kept)
        excess = weight * wanted.probabilities - offered.at_ids(wanted.token_ids)
        mass = float(np.maximum(excess, 0).sum())
        return mass / (mass + 1 - weight) if weight < 1 else 1.0


def _drawn(chance: Chance, distribution: Distribution) -> tuple[int, float]:
    token_id = chance.draft(distribution)
    likely = distribution.at(token_id)
    return token_id, math.log(likely / (1 - likely)) if likely < 1 else math.inf


def residual(wanted: Distribution, offered: Distribution, weight: float = 1.0) -> Distribution:
    """Return norm(max(0, weight * wanted - offered)): what the draft gives too little of.

    Where rounding leaves nothing, the two are the same and `wanted` itself is right.
    """
    excess = weight * wanted.probabilities - offered.at_ids(wanted.token_ids)
    excess = np.maximum(excess, 0)
    if excess.sum() < EMPTY_MASS:
        return wanted
    return Distribution.of_weights(wanted.token_ids, excess)


def make_verifier(name: VerifierName, seed: int) -> Verifier:
    """Return the rule of that name with its randomness."""
    if name == "coupled":
        return CoupledVerifier(SharedNoise(seed))
    if name == "rejection":
        return RejectionVerifier(Chance(seed))
    return BlockVerifier(Chance(seed))


def _after_all(draft: Draft, token_id: int) -> ValidationResult:
    source: Literal["bonus", "plain"] = "bonus" if draft.token_ids else "plain"
    return ValidationResult(len(draft.token_ids), token_id, source)
