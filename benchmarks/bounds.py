"""What the most is that drafting could reach on recorded answers, at given costs of passes.

With foresight an engine drafts just what will be kept: nobody can be faster. Without it, it can at
best know how often such drafts are right, and draft as far as then pays best.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
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

    Each round takes the better of draft and lookup; the best sequence of rounds is found by
    dynamic programming from the end of the answer.
    """
    return by_category(traces, costs, [_foreseen_s(trace, costs) for trace in traces])


def expect(traces: Sequence[Trace], costs: Costs) -> Speedups:
    """Return the most that can be reached without foresight, by what is known beforehand.

    Known is how often each margin comes up in this category, and how often a token is kept that
    has it, or that follows such a match, all answers already counted; but what a drafted token is
    like only once it was paid for. Each round takes what adds most tokens over what its time is
    worth, and a draft goes on while that is expected to pay (optimal stopping).
    """
    found: Speedups = {}
    for category in dict.fromkeys(trace.category for trace in traces):
        own = [trace for trace in traces if trace.category == category]
        answers = [(trace, copies_of(trace, len(costs.pass_s) - 1)) for trace in own]
        policy = _Policy.counted(answers, costs)
        for _ in range(SETTLING_RUNS):
            times = [policy.seconds(answer) for answer in answers]
            reached = by_category(own, costs, times)
            found[category] = max(found.get(category, 0.0), reached[category])
            written = sum(len(trace.answer) for trace in own)
            policy = policy.at(written / sum(times))
    return found


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
    def counted(cls, answers: Sequence[Known], costs: Costs) -> _Policy:
        """Know how often all drafts that could have been made are right."""
        policy = cls(costs, _Shares(0.5, 12), _Shares(1, 48))
        for trace, copies in answers:
            for at, (chain, copy) in enumerate(zip(trace.chains, copies, strict=True)):
                policy.margins.count(chain.margins, trace.kept(chain.token_ids, at))
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

    def seconds(self, answer: Known) -> float:
        """Return how long an answer takes."""
        (trace, copies), at, total_s = answer, 0, 0.0
        while at < len(trace.answer):
            room = min(len(self.costs.pass_s), len(trace.answer) - at) - 1
            copied, gain = self._verified(map(self.matches.of, copies[at].features[:room]))
            token_ids, spent_s = copies[at].token_ids[:copied], 0.0
            if self.gain > gain and room:
                chain = trace.chains[at]
                drafted = self._drafted(chain.margins[:room])
                rates = map(self.margins.of, chain.margins[:drafted])
                token_ids = chain.token_ids[: self._verified(rates)[0]]
                spent_s = self.costs.draft_s(drafted)
            kept = trace.kept(token_ids, at)
            total_s += spent_s + self._pass_s(len(token_ids)) + TOKEN_S * (kept + 1)
            at += kept + 1
        return total_s

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
    most = len(costs.pass_s) - 1
    copied = [trace.kept(copy.token_ids, at) for at, copy in enumerate(copies_of(trace, most))]
    left_s = [0.0] * (len(trace.answer) + 1)
    for at in reversed(range(len(trace.answer))):
        drafted = trace.kept(trace.chains[at].token_ids, at)
        reach = min(most, max(drafted, copied[at]), len(trace.answer) - at - 1)
        left_s[at] = min(
            min(costs.pass_s[count:])
            + (0.0 if count <= copied[at] else costs.draft_s(count))
            + TOKEN_S * (count + 1)
            + left_s[at + count + 1]
            for count in range(reach + 1)
        )
    return left_s[0]
