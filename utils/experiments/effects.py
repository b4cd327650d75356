"""How far two arms of an experiment differ, and how sure that is.

Chance assigns browsers, not answers: answers of one browser resemble each other, so that whole
browsers are drawn again in the bootstrap, and what is a few answers of a few browsers is not taken
for more. The interval is the bootstrap's error times Student's t (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 12), with the correction of the error for small
samples (Hesterberg, What Teachers Should Know About the Bootstrap, 2015).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log, log1p

import numpy as np
from numpy.typing import NDArray

from utils.experiments.outcomes import Outcome
from utils.experiments.rollout import Arm

RESAMPLES = 2000
LEVEL, EARLY_LEVEL = 0.95, 0.999
POWER = 0.8
SMALLEST_EFFECT = 0.20
MIN_BROWSERS = 3
_LARGEST = 20.0
_NO_SPREAD = 1e-9
_ANGLES, _NEARLY_NORMAL = 20_000, 10_000.0
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of an answer, None where it has none.

    `is_ratio`: arms are compared by a factor, and what is not above 0 is unknown.
    """

    key: str
    label: str
    read: Callable[[Outcome], float | None]
    is_ratio: bool = False


SPEED = Metric("tokens_per_second", "Tokens/s", lambda o: o.tokens_per_second, is_ratio=True)
METRICS = (
    SPEED,
    Metric("ttft_s", "First token after", lambda o: o.ttft_s, is_ratio=True),
    Metric(
        "answer_s",
        "Time per answer",
        lambda o: o.answer_s if o.state == "done" else None,
        is_ratio=True,
    ),
    Metric("failed", "Failed", lambda o: float(o.state == "failed")),
    Metric("fell_back", "Fell back", lambda o: float(o.fell_back)),
    Metric("thumb", "Thumbs up", lambda o: None if o.thumb is None else float(o.thumb)),
    Metric("speed", "Rated speed, 1 to 5", lambda o: o.speed),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """An arm's mean of a metric, geometric for ratios; None without answers that have it."""

    mean: float | None
    answers: int
    browsers: int


@dataclass(frozen=True, slots=True)
class Effect:
    """Speculative against standard: a factor for ratios, else a difference.

    `low` and `high` hold it at 95%; None where too few browsers took part. `planned_answers` is
    how many answers, of browsers like these, show a factor of 1.2 with a power of 80%; it is
    None where that cannot be told yet. `is_clear`: the difference is certain at 99.9%, which may
    end an experiment before its plan (Haybittle 1971, Peto 1976).
    """

    metric: Metric
    standard: Sample
    speculative: Sample
    value: float | None = None
    low: float | None = None
    high: float | None = None
    planned_answers: int | None = None
    is_clear: bool = False

    @property
    def answers(self) -> int:
        """Answers of both arms that have the metric."""
        return self.standard.answers + self.speculative.answers

    @property
    def fewest_browsers(self) -> int:
        """Browsers in the arm that has fewer."""
        return min(self.standard.browsers, self.speculative.browsers)


def compare_arms(
    outcomes: Sequence[Outcome],
    metric: Metric = SPEED,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Effect:
    """Return the effect of drafting on a metric; the same outcomes give the same effect."""
    arms = [_browsers(outcomes, arm, metric) for arm in ("standard", "speculative")]
    standard, speculative = (_sample(sums, metric) for sums in arms)
    effect = Effect(metric, standard, speculative)
    if not (standard.answers and speculative.answers):
        return effect
    difference = _mean(arms[1]) - _mean(arms[0])
    value = _shown(difference, metric)
    if effect.fewest_browsers < MIN_BROWSERS:
        return Effect(metric, standard, speculative, value)
    rng = np.random.default_rng(seed)
    errors = [_squared_error(sums, rng, resamples) for sums in arms]
    error = sum(errors) ** 0.5
    if error < _NO_SPREAD:
        return Effect(metric, standard, speculative, value)
    freedom = _freedom(errors, arms)
    reach = error * student_t((1 + LEVEL) / 2, freedom)
    return Effect(
        metric,
        standard,
        speculative,
        value,
        _shown(difference - reach, metric),
        _shown(difference + reach, metric),
        _planned(effect.answers, error, freedom) if metric.is_ratio else None,
        is_clear=abs(difference) > error * student_t((1 + EARLY_LEVEL) / 2, freedom),
    )


def student_t(share: float, freedom: float) -> float:
    """Return a quantile of Student's distribution, from one degree of freedom on.

    With x = sqrt(freedom) * tan(angle) its density is a power of the cosine, on a bounded range.
    """
    freedom = min(max(freedom, 1.0), _NEARLY_NORMAL)
    edges = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES + 1)
    weights = np.cos((edges[1:] + edges[:-1]) / 2) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum(weights)])
    angle = np.interp(share, below / below[-1], edges)
    return float(freedom**0.5 * np.tan(angle))


def _browsers(outcomes: Sequence[Outcome], arm: Arm, metric: Metric) -> Floats:
    """Return sum and count of the metric for each browser of an arm, shape (browsers, 2)."""
    sums: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(2))
    for outcome in outcomes:
        value = metric.read(outcome) if outcome.arm == arm else None
        if value is not None and isfinite(value) and (value > 0 or not metric.is_ratio):
            sums[outcome.browser] += (log(value) if metric.is_ratio else value, 1)
    return np.array(list(sums.values()), dtype=np.float64).reshape(-1, 2)


def _sample(sums: Floats, metric: Metric) -> Sample:
    answers = int(sums[:, 1].sum())
    if not answers:
        return Sample(None, 0, 0)
    mean = _mean(sums)
    return Sample(exp(mean) if metric.is_ratio else mean, answers, len(sums))


def _mean(sums: Floats) -> float:
    total, count = sums.sum(axis=0)
    return float(total / count)


def _shown(difference: float, metric: Metric) -> float:
    return exp(min(max(difference, -_LARGEST), _LARGEST)) if metric.is_ratio else difference


def _squared_error(sums: Floats, rng: np.random.Generator, resamples: int) -> float:
    """Return the variance of an arm's mean over browsers drawn again."""
    browsers = len(sums)
    drawn = rng.multinomial(browsers, np.full(browsers, 1 / browsers), size=resamples) @ sums
    return float((drawn[:, 0] / drawn[:, 1]).var()) * browsers / (browsers - 1)


def _freedom(errors: Sequence[float], arms: Sequence[Floats]) -> float:
    """Return the degrees of freedom of two variances together (Welch and Satterthwaite)."""
    parts = sum(
        error**2 / (len(sums) - 1) for error, sums in zip(errors, arms, strict=True) if error
    )
    return sum(errors) ** 2 / parts if parts else inf


def _planned(answers: int, error: float, freedom: float) -> int:
    """Return how many answers bring the error down to what shows the smallest effect.

    With few browsers the error itself is not well known, so that more are asked for.
    """
    needed = log1p(SMALLEST_EFFECT) / (
        student_t((1 + LEVEL) / 2, freedom) + student_t(POWER, freedom)
    )
    return max(2 * MIN_BROWSERS, round(answers * (error / needed) ** 2))
