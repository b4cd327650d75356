"""Measurements: rounds sum to an answer, answers to snapshots that charts and metrics draw.

Words: a round is one draft and its verification; `emitted` = `accepted` + 1; acceptance rate =
accepted / drafted; mean acceptance length = 1 + accepted / rounds; speedup = tokens per second
over *measured* plain tokens per second of the same target. No rate ever divides by zero.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from statistics import fmean, median
from typing import Literal

BaselineOrigin = Literal["none", "calibration", "running"]
FinishReason = Literal["stop", "length", "cancelled"]
BASELINE_SAMPLES, FEWEST_SAMPLES, FIRST_SAMPLES = 16, 8, 3
LONGEST_STEP = 4.0
# A model that drafted, if in vain, takes more of a round, and more time than a lookup.
QUIET_SHARE, QUIET_S = 0.25, 50e-6


@dataclass(frozen=True, slots=True)
class RoundStats:
    """One round; a plain step is a round with nothing drafted. Times in seconds."""

    drafter: str | None
    drafted: int
    accepted: int
    emitted: int
    draft_s: float
    verify_s: float
    total_s: float
    depth: int

    def is_plain(self, pass_s: float, width: int) -> bool:
        """Tell whether it was a plain step: one token wide, and no model drafted, not in vain."""
        return width == 1 and self.draft_s < max(QUIET_SHARE * pass_s, QUIET_S)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Plain decoding speed of the target, measured; `tokens_per_second` 0 means not known yet."""

    tokens_per_second: float = 0.0
    origin: BaselineOrigin = "none"
    samples: int = 0


@dataclass(frozen=True, slots=True)
class GenerationStats:
    """One answer in numbers."""

    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    prefill_s: float
    ttft_s: float
    decode_s: float
    rounds: int
    drafted: int
    accepted: int
    accepted_histogram: tuple[int, ...]
    baseline: Baseline

    @property
    def tokens_per_second(self) -> float:
        """Decoding rate; every token costs a pass, the first too, as prefill leaves one out."""
        return ratio(self.completion_tokens, self.decode_s)

    @property
    def tpot_s(self) -> float:
        """Seconds per token."""
        return ratio(self.decode_s, self.completion_tokens)

    @property
    def acceptance_rate(self) -> float:
        """Accepted share of the drafted tokens."""
        return ratio(self.accepted, self.drafted)

    @property
    def mean_acceptance_length(self) -> float:
        """Tokens that one pass of the target yields."""
        return 1 + ratio(self.accepted, self.rounds)

    @property
    def speedup(self) -> float:
        """Rate over the measured plain rate; 0 where either is unknown."""
        return ratio(self.tokens_per_second, self.baseline.tokens_per_second)


@dataclass(frozen=True, slots=True)
class ReportedNumbers:
    """What a server counted and timed by itself in the part of an answer that it wrote."""

    source: str
    prompt_tokens: int
    prompt_s: float
    answer_tokens: int
    answer_s: float
    load_s: float


def join_stats(first: GenerationStats, last: GenerationStats) -> GenerationStats:
    """Sum two parts of one answer; what one of unknown plain speed wrote is compared with none."""
    histogram = tuple(
        map(sum, zip_longest(first.accepted_histogram, last.accepted_histogram, fillvalue=0))
    )
    baseline = last.baseline if last.rounds else first.baseline
    return GenerationStats(
        prompt_tokens=first.prompt_tokens or last.prompt_tokens,
        reused_tokens=first.reused_tokens,
        completion_tokens=first.completion_tokens + last.completion_tokens,
        prefill_s=first.prefill_s + last.prefill_s,
        ttft_s=first.ttft_s,
        decode_s=first.decode_s + last.decode_s,
        rounds=first.rounds + last.rounds,
        drafted=first.drafted + last.drafted,
        accepted=first.accepted + last.accepted,
        accepted_histogram=histogram,
        baseline=baseline if first.baseline.samples else Baseline(),
    )


def ratio(part: float, whole: float) -> float:
    """Divide, with 0 for an empty whole."""
    return part / whole if whole > 0 and part > 0 else 0.0


class PlainClock:
    """Measured time of a plain step of one target: of nothing else, however much is drafted.

    It is the mean of the newest steps that followed other plain ones, with those clipped that took
    very long: other programs slow plain steps as well as drafted rounds. Those timed at loading
    count until there are some of answers, and of few the faster ones. An answer with many plain
    steps is compared with all of its own, the first too.
    """

    def __init__(self) -> None:
        self._loading: deque[float] = deque(maxlen=BASELINE_SAMPLES)
        self._newest: deque[float] = deque(maxlen=BASELINE_SAMPLES)
        self._answer_steps, self._answer_s = 0, 0.0
        self._is_first, self._was_plain = True, False
        self._baseline = Baseline()

    def begin_answer(self) -> None:
        """Start anew with the steps of an answer."""
        self._answer_steps, self._answer_s = 0, 0.0
        self._is_first, self._was_plain = True, False
        self._baseline = self._of_newest()

    def note_loading(self, seconds: float) -> None:
        """Take in the time of a plain step that was made to be timed."""
        self._loading.append(seconds)
        self._baseline = self._of_newest()

    def note_round(self, seconds: float, *, is_plain: bool) -> None:
        """Take in a round of an answer: only plain ones tell, not those that follow a draft.

        The first of an answer finds the processor's caches cold: it counts beside its own alone.
        """
        is_first, follows = self._is_first, self._was_plain
        self._is_first, self._was_plain = False, is_plain
        if not is_plain or not (is_first or follows):
            return
        self._answer_steps += 1
        self._answer_s += seconds
        if follows:
            self._newest.append(seconds)
        if self._answer_steps >= BASELINE_SAMPLES:
            rate = ratio(self._answer_steps, self._answer_s)
            self._baseline = Baseline(rate, "running", self._answer_steps)
        else:
            self._baseline = self._of_newest()

    def _of_newest(self) -> Baseline:
        if len(self._newest) >= FEWEST_SAMPLES or not self._loading:
            return _baseline(self._newest, "running")
        loading = _baseline(self._loading, "calibration")
        if len(self._newest) < FIRST_SAMPLES:
            return loading
        # A busy start or a busy moment: few steps are not to make drafting look better than it is.
        running = _baseline(self._newest, "running")
        return max(running, loading, key=lambda known: known.tokens_per_second)

    @property
    def baseline(self) -> Baseline:
        """The rate so far."""
        return self._baseline


def _baseline(samples: Sequence[float], origin: BaselineOrigin) -> Baseline:
    """Return the rate of steps, of which a very long one counts as a long one."""
    if not samples:
        return Baseline()
    longest_s = LONGEST_STEP * median(samples)
    mean_s = fmean(min(sample, longest_s) for sample in samples)
    return Baseline(ratio(1, mean_s), origin, len(samples))


@dataclass(slots=True)
class PerformanceMonitor:
    """Sums the rounds of one answer and keeps a bounded series of them for charts."""

    baseline: Baseline = field(default_factory=Baseline)
    prompt_tokens: int = 0
    reused_tokens: int = 0
    prefill_s: float = 0.0
    ttft_s: float = 0.0
    decode_s: float = 0.0
    completion_tokens: int = 0
    rounds: int = 0
    drafted: int = 0
    accepted: int = 0
    histogram: list[int] = field(default_factory=list)
    series: list[RoundStats] = field(default_factory=list)
    series_limit: int = 4096

    def add(self, stats: RoundStats) -> None:
        """Take in one round."""
        self.rounds += 1
        self.drafted += stats.drafted
        self.accepted += stats.accepted
        self.completion_tokens += stats.emitted
        self.decode_s += stats.total_s
        while len(self.histogram) <= stats.accepted:
            self.histogram.append(0)
        self.histogram[stats.accepted] += 1
        self.series.append(stats)
        if len(self.series) > self.series_limit:
            del self.series[: self.series_limit // 4]

    def extend(self, rounds: Iterable[RoundStats]) -> None:
        """Take in several rounds."""
        for stats in rounds:
            self.add(stats)

    def result(self) -> GenerationStats:
        """Return the sums so far, as a value that does not change any more."""
        return GenerationStats(
            prompt_tokens=self.prompt_tokens,
            reused_tokens=self.reused_tokens,
            completion_tokens=self.completion_tokens,
            prefill_s=self.prefill_s,
            ttft_s=self.ttft_s,
            decode_s=self.decode_s,
            rounds=self.rounds,
            drafted=self.drafted,
            accepted=self.accepted,
            accepted_histogram=tuple(self.histogram),
            baseline=self.baseline,
        )


def rolling_acceptance(rounds: Sequence[RoundStats], window: int = 16) -> list[float]:
    """Acceptance rate over the last `window` rounds, at each round."""
    return _rolling(rounds, window, lambda r: r.accepted, lambda r: r.drafted)


def rolling_speed(rounds: Sequence[RoundStats], window: int = 16) -> list[float]:
    """Tokens per second over the last `window` rounds, at each round."""
    return _rolling(rounds, window, lambda r: r.emitted, lambda r: r.total_s)


def _rolling(
    rounds: Sequence[RoundStats],
    window: int,
    part: Callable[[RoundStats], float],
    whole: Callable[[RoundStats], float],
) -> list[float]:
    parts, wholes, rates = 0.0, 0.0, []
    for index, stats in enumerate(rounds):
        parts += part(stats)
        wholes += whole(stats)
        if index >= window:
            parts -= part(rounds[index - window])
            wholes -= whole(rounds[index - window])
        rates.append(ratio(parts, wholes))
    return rates
