"""What rounds say together: where drafts were right, how far they came, and where time went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

from utils.performance_monitor import RoundStats, ratio

LEAST_ALIKE = 8


@dataclass(frozen=True, slots=True)
class Place:
    """How often a token was drafted at one place of a round, counted from 1, and how often kept."""

    number: int
    drafted: int
    accepted: int

    @property
    def rate(self) -> float:
        """Share of the tokens drafted here that were kept."""
        return ratio(self.accepted, self.drafted)


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Where the seconds of answers went; `other_s` is sampling, telling and bookkeeping."""

    prefill_s: float = 0.0
    draft_s: float = 0.0
    verify_s: float = 0.0
    other_s: float = 0.0

    @property
    def decode_s(self) -> float:
        """Seconds of all rounds."""
        return self.draft_s + self.verify_s + self.other_s

    @property
    def total_s(self) -> float:
        """All seconds."""
        return self.prefill_s + self.decode_s


def acceptance_by_place(rounds: Sequence[RoundStats]) -> tuple[Place, ...]:
    """Return each place that was ever drafted at, the first one first."""
    drafted = _at_least(Counter(stats.drafted for stats in rounds))
    accepted = _at_least(Counter(stats.accepted for stats in rounds))
    return tuple(
        Place(number, count, accepted[number - 1] if number <= len(accepted) else 0)
        for number, count in enumerate(drafted, start=1)
    )


def accepted_lengths(rounds: Sequence[RoundStats]) -> tuple[int, ...]:
    """Return how many of the rounds that drafted kept 0, 1, 2... tokens."""
    counts = Counter(stats.accepted for stats in rounds if stats.drafted)
    return tuple(counts[length] for length in range(max(counts, default=-1) + 1))


def time_split(rounds: Sequence[RoundStats], *, prefill_s: float = 0.0) -> TimeSplit:
    """Return where the time of these rounds went, and that of reading their prompts."""
    draft_s = sum(stats.draft_s for stats in rounds)
    verify_s = sum(stats.verify_s for stats in rounds)
    total_s = sum(stats.total_s for stats in rounds)
    return TimeSplit(prefill_s, draft_s, verify_s, max(0.0, total_s - draft_s - verify_s))


def pass_times(rounds: Sequence[RoundStats]) -> tuple[tuple[int, float], ...]:
    """Return the median seconds of passes over 1, 2, 3... tokens, of those that were made."""
    times: dict[int, list[float]] = {}
    for stats in rounds:
        times.setdefault(1 + stats.drafted, []).append(stats.verify_s)
    return tuple((width, median(seconds)) for width, seconds in sorted(times.items()))


def usual_length(rounds: Sequence[RoundStats]) -> int | None:
    """Return the draft length that was chosen most often; None without rounds."""
    counts = Counter(stats.drafted for stats in rounds)
    return counts.most_common(1)[0][0] if counts else None


def slowdown(rounds: Sequence[RoundStats]) -> float:
    """Return how much longer a pass took in the last quarter than in the first, of equal width.

    It is 1 where too few passes are alike to tell.
    """
    if not rounds:
        return 1.0
    ((width, _),) = Counter(stats.drafted for stats in rounds).most_common(1)
    alike = [stats.verify_s for stats in rounds if stats.drafted == width]
    quarter = len(alike) // 4
    if quarter < LEAST_ALIKE:
        return 1.0
    return ratio(median(alike[-quarter:]), median(alike[:quarter])) or 1.0


def _at_least(counts: Counter[int]) -> list[int]:
    """Return how many counted at least 1, 2, 3... tokens."""
    longest = max(counts, default=0)
    return list(accumulate(counts[length] for length in range(longest, 0, -1)))[::-1]
