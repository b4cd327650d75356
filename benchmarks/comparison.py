"""Speculative against plain decoding of the same target, prompt by prompt.

Each prompt is answered plain, speculatively, speculatively, plain, with the same seed, from empty
caches. An answer ends where the model ends it: both ways write the same text, so both are equally
long, and nobody measures what a model says after its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import median

from benchmarks.rig import Answer, DrafterName, Rig
from benchmarks.suite import Suite
from config import SamplingParams, SpeculativeConfig
from utils.performance_monitor import ratio

RESAMPLES = 2000
ALL = "all"
Ask = Callable[[DrafterName], Answer]


@dataclass(frozen=True, slots=True)
class Setting:
    """What is compared with plain decoding, and how long."""

    drafter: DrafterName
    draft_length: int
    temperature: float
    max_tokens: int = 160
    repeats: int = 2
    threshold: float = SpeculativeConfig().acceptance_threshold
    seed: int = 1

    @property
    def sampling(self) -> SamplingParams:
        """How tokens are chosen in both modes."""
        return SamplingParams(
            temperature=self.temperature, max_tokens=self.max_tokens, seed=self.seed
        )

    @property
    def speculative(self) -> SpeculativeConfig:
        """How is drafted; a failing drafter fails the benchmark."""
        return SpeculativeConfig(
            max_draft_tokens=self.draft_length,
            acceptance_threshold=self.threshold,
            fallback_enabled=False,
        )


@dataclass(slots=True)
class PromptResult:
    """One prompt: seconds per token of every run, and the rounds of the speculative ones."""

    category: str
    plain_s: list[float] = field(default_factory=list)
    speculative_s: list[float] = field(default_factory=list)
    drafted: int = 0
    accepted: int = 0
    tokens: int = 0
    rounds: int = 0
    same_text: bool = True

    @property
    def speedup(self) -> float:
        """Median plain time per token over median speculative time per token."""
        return ratio(median(self.plain_s), median(self.speculative_s))


@dataclass(frozen=True, slots=True)
class CategoryResult:
    """A category: median speedup of its prompts, with a 95 % bootstrap interval."""

    name: str
    speedup: float
    low: float
    high: float
    acceptance: float
    tokens_per_forward: float
    plain_tokens_per_second: float
    prompts: int
    same_texts: int


def compare(rig: Rig, suite: Suite, setting: Setting) -> list[CategoryResult]:
    """Measure every prompt; return the categories, the worst first, and all prompts last."""
    results = []
    for category, prompts in suite.items():
        for question in prompts:
            prompt = rig.encode(question)
            results.append(measure_prompt(category, _asker(rig, prompt, setting), setting))
    categories = [
        summarize(name, [result for result in results if result.category == name]) for name in suite
    ]
    worst_first = sorted(categories, key=lambda category: category.speedup)
    return [*worst_first, summarize(ALL, results)]


def measure_prompt(category: str, ask: Ask, setting: Setting) -> PromptResult:
    """Answer in the order plain, speculative, speculative, plain, as often as set."""
    result = PromptResult(category)
    plain_texts, speculative_texts = set(), set()
    for _ in range(setting.repeats):
        for drafter in ("none", setting.drafter, setting.drafter, "none"):
            answer = ask(drafter)
            if drafter == "none":
                result.plain_s.append(answer.stats.tpot_s)
                plain_texts.add(answer.token_ids)
                continue
            speculative_texts.add(answer.token_ids)
            result.speculative_s.append(answer.stats.tpot_s)
            result.drafted += answer.stats.drafted
            result.accepted += answer.stats.accepted
            result.tokens += answer.stats.completion_tokens
            result.rounds += answer.stats.rounds
    result.same_text = len(plain_texts | speculative_texts) == 1
    return result


def summarize(name: str, results: Sequence[PromptResult]) -> CategoryResult:
    """Return the figures of a category."""
    speedups = [result.speedup for result in results]
    low, high = bootstrap_interval(speedups)
    return CategoryResult(
        name=name,
        speedup=median(speedups),
        low=low,
        high=high,
        acceptance=ratio(sum(r.accepted for r in results), sum(r.drafted for r in results)),
        tokens_per_forward=ratio(sum(r.tokens for r in results), sum(r.rounds for r in results)),
        plain_tokens_per_second=ratio(1, median(median(r.plain_s) for r in results)),
        prompts=len(results),
        same_texts=sum(result.same_text for result in results),
    )


def bootstrap_interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of the median."""
    rng = Random(seed)  # noqa: S311 - statistics, not secrets
    medians = sorted(median(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[RESAMPLES // 40], medians[-RESAMPLES // 40]


def _asker(rig: Rig, prompt: Sequence[int], setting: Setting) -> Ask:
    def ask(drafter: DrafterName) -> Answer:
        rig.forget()
        return rig.answer(
            prompt, sampling=setting.sampling, speculative=setting.speculative, drafter=drafter
        )

    return ask
