"""How far a figure can be trusted: percentile intervals by bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

RESAMPLES = 1000
Draw = Callable[[Random], float]


def bootstrap_interval(
    draw: Draw, *, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the interval that holds `level` of the values of `draw`.

    `draw` computes the figure once from data drawn again, with replacement, by the generator that
    it is given (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).
    """
    rng = Random(seed)  # noqa: S311 - statistics, not secrets
    values = sorted(draw(rng) for _ in range(resamples))
    outside = int(resamples * (1 - level) / 2)
    return values[outside], values[-1 - outside]
