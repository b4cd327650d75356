"""What drafting could reach on recorded answers at given costs of passes, worked out.

With foresight (`foresee`) an engine drafts just what will be kept: with this draft and this lookup
nobody could be faster at these costs. Without it (`expect`) it knows how often such drafts are
right, and drafts as far as then pays best, or always as far as was best in the category. Either
counts what a lookup adds to a draft.

No limit of what can be measured follows from that: costs are medians over a run whose passes were
now faster, now slower, and the times that they are compared with vary as well, so a category may
come out above its figure. Nor does the second know all that could be known: not what the last
tokens say of the next ones, and no draft goes on from a copy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.rig import Costs
from benchmarks.traces import TOKEN_S, Copy, Trace, copies_of

Speedups = dict[str, float]
Known = tuple[Trace, Sequence[Copy]]
FloatArray = NDArray[np.float64]
SETTLING_RUNS = 8
# How likely it is that all drafted tokens are kept, the certain one first.
SURVIVALS = np.geomspace(1.0, 0.01, 48)


def by_category(traces: Sequence[Trace], costs: Costs, seconds: Sequence[float]) -> Speedups:
    """Return the median speedup over plain decoding of each category of answers."""
    found: dict[str, list[float]] = defaultdict(list)
    for trace, answer_s in zip(traces, seconds, strict=True):
        plain_s = len(trace.answer) * (costs.pass_s[0] + TOKEN_S)
        found[trace.category].append(plain_s / answer_s)
    return {category: median(speedups) for category, speedups in found.items()}


def foresee(traces: Sequence[Trace], costs: Costs) -> Speedups:
    """Return the most that drafting one text ahead can reach: it drafts just what will be kept.

    Each round takes the best of draft, lookup, and a draft that the lookup goes on from; the best
    sequence of rounds is found by dynamic programming from the end of the answer.
    """
    return by_category(traces, costs, [_foreseen_s(trace, costs) for trace in traces])


def expect(traces: Sequence[Trace], costs: Costs) -> Speedups:
    """Return what the best choice of drafts reaches without foresight: of each category the best.

    Of every fixed length, and of a choice round by round. For that is known how often each margin
    comes up in this category, and how often a token is kept that has it, or that follows such a
    match, all answers already counted; but what a drafted token is like only once it was paid for.
    Each round takes what adds most tokens over what its time is worth, and a draft goes on while
    that is expected to pay (optimal stopping). A lookup goes on from where it ends.
    """
    found: Speedups = {}
    for category in dict.fromkeys(trace.category for trace in traces):
        own = [trace for trace in traces if trace.category == category]
        answers = [(trace, copies_of(trace, len(costs.pass_s) - 1)) for trace in own]
        lengths = range(1, len(costs.pass_s))
        runs = [[fixed_s(trace, costs, length) for trace in own] for length in lengths]
        for recounts, must_draft in ((False, False), (True, False), (True, True)):
            runs += _settle(answers, costs, recounts=recounts, must_draft=must_draft)
        found[category] = max(by_category(own, costs, times)[category] for times in runs)
    return found


def fixed_s(trace: Trace, costs: Costs, length: int) -> float:
    """Return how long an answer takes with drafts of always so many tokens."""
    total_s, written = 0.0, 0
    while written < len(trace.answer):
        count = min(length, len(trace.answer) - written - 1)
        accepted = trace.kept(trace.chains[written].token_ids[:count], written)
        total_s += costs.pass_s[count] + costs.draft_s(count)
        total_s += TOKEN_S * (accepted + 1)
        written += accepted + 1
    return total_s


def _settle(
    answers: Sequence[Known], costs: Costs, *, recounts: bool, must_draft: bool
) -> Iterator[list[float]]:
    """Yield how long the answers take while what a second is worth settles.

    Where rounds begin a draft is right more or less often than elsewhere: `recounts` takes in only
    the places where they did.
    """
    policy = _Policy.counted(answers, costs)
    written = sum(len(trace.answer) for trace, _copies in answers)
    for _ in range(SETTLING_RUNS):
        played = [policy.play(answer, must_draft=must_draft) for answer in answers]
        times = [seconds for seconds, _places in played]
        yield times
        if recounts:
            policy = _Policy.counted(answers, costs, [places for _seconds, places in played])
        policy = policy.at(written / sum(times))


class _Shares:
    """How often a token comes up that follows kept ones, and is kept, by one feature of it."""

    def __init__(self, step: float, largest: float) -> None:
        self._step, self._largest = step, largest
        count = int(largest / step) + 1
        self._kept, self._seen = np.zeros(count), np.zeros(count)

    def count(self, features: Sequence[float], kept: int) -> None:
        """Take in a draft, of which so many tokens are kept."""
        for index, feature in enumerate(features[: kept + 1]):
            self._seen[self._bin(feature)] += 1
            self._kept[self._bin(feature)] += index < kept

    def of(self, feature: float) -> float:
        """Return the share that was kept of tokens like this one."""
        return float(self.kept[self._bin(feature)])

    @property
    def kept(self) -> FloatArray:
        """The share that was kept, by bin."""
        return self._kept / np.maximum(self._seen, 1)

    @property
    def often(self) -> FloatArray:
        """The share of all tokens, by bin."""
        return self._seen / max(1.0, self._seen.sum())

    def _bin(self, feature: float) -> int:
        return int(min(feature, self._largest) / self._step)


@dataclass(frozen=True, slots=True)
class _Policy:
    """Takes in each round what adds most, where a second is worth `worth` tokens.

    Another token is drafted while it is likelier than `thresholds[n]` that all n so far are kept.
    """

    costs: Costs
    margins: _Shares
    matches: _Shares
    worth: float = 0.0
    thresholds: tuple[float, ...] = ()
    gain: float = 0.0

    @classmethod
    def counted(
        cls, answers: Sequence[Known], costs: Costs, places: Sequence[Sequence[int]] | None = None
    ) -> _Policy:
        """Know how often all copies are right, and all drafts, or those at some places."""
        policy = cls(costs, _Shares(0.5, 12), _Shares(1, 48))
        everywhere = [range(len(trace.chains)) for trace, _copies in answers]
        for (trace, copies), begun in zip(answers, places or everywhere, strict=True):
            for at in begun:
                chain = trace.chains[at]
                policy.margins.count(chain.margins, trace.kept(chain.token_ids, at))
            for at, copy in enumerate(copies):
                policy.matches.count(copy.features, trace.kept(copy.token_ids, at))
        return policy.at(1 / (costs.pass_s[0] + TOKEN_S))

    def at(self, worth: float) -> _Policy:
        """Return the policy at such a worth, planned backwards from the longest draft."""
        kept, often = self.margins.kept, self.margins.often
        draft_s, most = self.costs.draft_token_s or 0.0, len(self.costs.pass_s) - 1
        following = np.log(np.maximum(np.outer(SURVIVALS, kept), SURVIVALS[-1]))
        each = SURVIVALS * float(kept @ often) * (1 - worth * TOKEN_S) - worth * draft_s
        thresholds = [1.0] * (most + 1)
        gains = np.full(len(SURVIVALS), -worth * self._pass_s(most))
        for count in reversed(range(most)):
            onward = each + _interpolated(gains, following) @ often
            stopped = -worth * self._pass_s(count)
            thresholds[count] = float(min(SURVIVALS[onward > stopped], default=1.0))
            gains = np.maximum(onward, stopped)
        gain = float(onward[0]) - worth * self.costs.draft_begin_s
        return replace(self, worth=worth, thresholds=tuple(thresholds), gain=gain)

    def play(self, answer: Known, *, must_draft: bool) -> tuple[float, list[int]]:
        """Return how long an answer takes, and where its rounds begin."""
        (trace, copies), at, total_s = answer, 0, 0.0
        places = []
        while at < len(trace.answer):
            places.append(at)
            room = min(len(self.costs.pass_s), len(trace.answer) - at) - 1
            copied, gain = self._verified(map(self.matches.of, copies[at].features[:room]))
            token_ids, spent_s = copies[at].token_ids[:copied], 0.0
            if room and (must_draft or self.gain > gain):
                chain = trace.chains[at]
                drafted = self._drafted(chain.margins[:room])
                onward = copies[at].onward[drafted]
                rates = [*map(self.margins.of, chain.margins[:drafted])]
                rates += map(self.matches.of, onward.features)
                both = (*chain.token_ids[:drafted], *onward.token_ids)
                token_ids = both[: self._verified(rates[:room])[0]]
                spent_s = self.costs.draft_s(drafted)
            kept = trace.kept(token_ids, at)
            total_s += spent_s + self._pass_s(len(token_ids)) + TOKEN_S * (kept + 1)
            at += kept + 1
        return total_s, places

    def _drafted(self, margins: Sequence[float]) -> int:
        """Return how far the draft goes."""
        survival = 1.0
        for count, margin in enumerate(margins, 1):
            survival *= self.margins.of(margin)
            if survival <= self.thresholds[count]:
                return count
        return len(margins)

    def _verified(self, rates: Iterable[float]) -> tuple[int, float]:
        """Return how much of a draft to verify, none perhaps, and what is expected of it."""
        survival, tokens = 1.0, 0.0
        best, most = 0, -self.worth * self._pass_s(0)
        for count, rate in enumerate(rates, 1):
            survival *= rate
            tokens += survival * (1 - self.worth * TOKEN_S)
            gain = tokens - self.worth * self._pass_s(count)
            if gain > most:
                best, most = count, gain
        return best, most

    def _pass_s(self, count: int) -> float:
        return min(self.costs.pass_s[count:])


def _interpolated(values: FloatArray, at: FloatArray) -> FloatArray:
    return np.asarray(np.interp(at, np.log(SURVIVALS[::-1]), values[::-1]))


def _foreseen_s(trace: Trace, costs: Costs) -> float:
    copies = copies_of(trace, len(costs.pass_s) - 1)
    left_s = [0.0] * (len(trace.answer) + 1)
    for at in reversed(range(len(trace.answer))):
        left_s[at] = min(
            min(costs.pass_s[count:]) + draft_s + TOKEN_S * (count + 1) + left_s[at + count + 1]
            for count, draft_s in enumerate(_right_drafts_s(trace, copies[at], at, costs))
        )
    return left_s[0]


def _right_drafts_s(trace: Trace, copy: Copy, at: int, costs: Costs) -> list[float]:
    """Return what drafts of 0, 1 and more tokens take that are right, up to the longest one."""
    room = min(len(costs.pass_s), len(trace.answer) - at) - 1
    found = [0.0] * (1 + min(room, trace.kept(copy.token_ids, at)))
    for drafted in range(1, 1 + min(room, trace.kept(trace.chains[at].token_ids, at))):
        onward = trace.kept(copy.onward[drafted].token_ids, at + drafted)
        more = 1 + min(room, drafted + onward) - len(found)
        found += [costs.draft_s(drafted)] * more
    return found
