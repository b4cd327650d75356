"""Ways to draft against plain decoding of the same target, prompt by prompt.

Each prompt is answered plain, in every way, in every way in reverse order, and plain again, with
the same seed, from empty caches: drift of the machine hits all alike. An answer ends where the
model ends it: all ways write the same text, so all are equally long, and nobody measures what a
model says after its end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from statistics import fmean, median
from typing import Any

from benchmarks.rig import ADAPTIVE, PLAIN, Answer, Rig, Way
from config import SamplingParams
from utils.intervals import bootstrap_interval
from utils.performance_monitor import ratio
from utils.prompt_suite import Suite

ALL = "all prompts"
Ask = Callable[[Way], Answer]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """What is compared with plain decoding, and how long."""

    ways: tuple[Way, ...]
    temperature: float
    max_tokens: int = 160
    repeats: int = 2
    seed: int = 1

    @property
    def sampling(self) -> SamplingParams:
        """How tokens are chosen in all ways."""
        return SamplingParams(
            temperature=self.temperature, max_tokens=self.max_tokens, seed=self.seed
        )

    @property
    def round(self) -> tuple[Way, ...]:
        """The order of one repeat."""
        return (PLAIN, *self.ways, *self.ways[::-1], PLAIN)


@dataclass(slots=True)
class Runs:
    """One prompt answered in one way: seconds per token of every run, and the rounds."""

    seconds: list[float] = field(default_factory=list)
    drafted: int = 0
    accepted: int = 0
    tokens: int = 0
    rounds: int = 0
    texts: set[tuple[int, ...]] = field(default_factory=set)

    def add(self, answer: Answer) -> None:
        """Take in an answer."""
        stats = answer.stats
        self.seconds.append(stats.tpot_s)
        self.drafted += stats.drafted
        self.accepted += stats.accepted
        self.tokens += stats.completion_tokens
        self.rounds += stats.rounds
        self.texts.add(answer.token_ids)


@dataclass(slots=True)
class PromptResult:
    """One prompt, answered in all ways."""

    category: str
    runs: dict[Way, Runs]

    def speedup(self, way: Way) -> float:
        """Median plain time per token over that of the way."""
        return ratio(median(self.runs[PLAIN].seconds), median(self.runs[way].seconds))

    def is_same_text(self, way: Way) -> bool:
        """Tell whether the way always wrote what plain decoding did."""
        return len(self.runs[PLAIN].texts | self.runs[way].texts) == 1


@dataclass(frozen=True, slots=True)
class CategoryResult:
    """A category, or all prompts: their median speedup, with a 95% bootstrap interval."""

    name: str
    speedup: float
    low: float
    high: float
    acceptance: float
    tokens_per_forward: float
    plain_tokens_per_second: float
    prompts: int
    same_texts: int


@dataclass(slots=True)
class Comparison:
    """All prompts of a suite in all ways of a setting."""

    setting: Setting
    results: list[PromptResult]
    _known: dict[Way, list[CategoryResult]] = field(default_factory=dict)
    _totals: dict[Way, CategoryResult] = field(default_factory=dict)

    def categories(self, way: Way) -> list[CategoryResult]:
        """Return the categories, the worst first."""
        if way not in self._known:
            self._known[way] = self._summarize(way)
        return self._known[way]

    def total(self, way: Way) -> CategoryResult | None:
        """Return all prompts as if they were one category; None without results."""
        if self.results and way not in self._totals:
            self._totals[way] = summarize(ALL, self.results, way)
        return self._totals.get(way)

    def rows(self, way: Way) -> list[CategoryResult]:
        """Return what tables show: the categories, and all prompts last."""
        total = self.total(way)
        return [*self.categories(way), *([total] if total else [])]

    def mean(self, way: Way) -> float:
        """Return the mean speedup over the categories."""
        speedups = [category.speedup for category in self.categories(way)]
        return fmean(speedups) if speedups else 0.0

    @property
    def best_fixed(self) -> Way | None:
        """The fixed length with the highest mean over the categories."""
        fixed = [way for way in self.setting.ways if way.is_fixed and self.results]
        return max(fixed, key=self.mean, default=None)

    @property
    def adaptive_vs_best_fixed(self) -> float | None:
        """Mean of adaptive drafting over that of the best fixed length, of the same run."""
        best = self.best_fixed
        return ratio(self.mean(ADAPTIVE), self.mean(best)) if best and self.rivals else None

    @property
    def rivals(self) -> list[Way]:
        """The fixed lengths that adaptive drafting was measured against, none if it was not."""
        if not self.results or ADAPTIVE not in self.setting.ways:
            return []
        return [way for way in self.setting.ways if way.is_fixed]

    @property
    def best_of(self) -> str:
        """Name the best fixed length, and all of which it is the best; empty without any."""
        best, lengths = self.best_fixed, defaultdict[str, list[str]](list)
        for way in self.setting.ways:
            if way.is_fixed:
                lengths[way.drafter].append(f"{way.length}")
        measured = "; ".join(f"{drafter} {', '.join(found)}" for drafter, found in lengths.items())
        return f"{best.name} (best of {measured})" if best else ""

    def as_dict(self, way: Way) -> dict[str, Any]:
        """Return the figures of a way for JSON, `all` being no category."""
        total = self.total(way)
        return {
            "categories": [asdict(category) for category in self.categories(way)],
            "all": asdict(total) if total else None,
        }

    def _summarize(self, way: Way) -> list[CategoryResult]:
        names = dict.fromkeys(result.category for result in self.results)
        found = [
            summarize(name, [result for result in self.results if result.category == name], way)
            for name in names
        ]
        return sorted(found, key=lambda category: category.speedup)


def compare(
    rig: Rig, suite: Suite, setting: Setting, tell: Tell = lambda _line: None
) -> Comparison:
    """Measure every prompt; `tell` gets a line about each."""
    rig.begin_user()
    results = []
    for category, prompts in suite.items():
        for turns in prompts:
            result = measure_prompt(category, _asker(rig, rig.encode(*turns), setting), setting)
            results.append(result)
            speedups = (f"{way.name} {result.speedup(way):.2f}" for way in setting.ways)
            tell(f"{category}: {', '.join(speedups)}")
    return Comparison(setting, results)


def measure_prompt(category: str, ask: Ask, setting: Setting) -> PromptResult:
    """Answer in the setting's order, as often as set."""
    result = PromptResult(category, {way: Runs() for way in setting.round})
    for _ in range(setting.repeats):
        for way in setting.round:
            result.runs[way].add(ask(way))
    return result


def summarize(name: str, results: Sequence[PromptResult], way: Way) -> CategoryResult:
    """Return the figures of a category."""
    speedups = [result.speedup(way) for result in results]
    runs = [result.runs[way] for result in results]
    low, high = speedup_interval(results, way)
    return CategoryResult(
        name=name,
        speedup=median(speedups),
        low=low,
        high=high,
        acceptance=ratio(sum(r.accepted for r in runs), sum(r.drafted for r in runs)),
        tokens_per_forward=ratio(sum(r.tokens for r in runs), sum(r.rounds for r in runs)),
        plain_tokens_per_second=ratio(1, median(median(r.runs[PLAIN].seconds) for r in results)),
        prompts=len(results),
        same_texts=sum(result.is_same_text(way) for result in results),
    )


def speedup_interval(results: Sequence[PromptResult], way: Way) -> tuple[float, float]:
    """Return the 95% percentile interval of the median, over prompts and the runs of each."""

    def redraw(result: PromptResult, rng: Random) -> float:
        plain, drafted = result.runs[PLAIN].seconds, result.runs[way].seconds
        return ratio(
            median(rng.choices(plain, k=len(plain))), median(rng.choices(drafted, k=len(drafted)))
        )

    return bootstrap_interval(
        lambda rng: median(redraw(result, rng) for result in rng.choices(results, k=len(results)))
    )


def _asker(rig: Rig, prompt: Sequence[int], setting: Setting) -> Ask:
    def ask(way: Way) -> Answer:
        rig.forget()
        return rig.answer(prompt, setting.sampling, way)

    return ask
