"""What the most is that drafting could reach on recorded answers, at given costs of passes.

With foresight an engine drafts just what will be kept: nobody can be faster. Without it, it can at
best know how often such drafts are right, and draft as much as pays best then.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.rig import Costs
from benchmarks.traces import TOKEN_S, Copy, Trace, copies_of

Speedups = dict[str, float]
Known = tuple[Trace, Sequence[Copy]]
SETTLING_RUNS = 8


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

    Known are the margins of a whole draft before it is paid for, and how often a token is kept in
    this category with such a margin, or after such a match, all answers already counted. Each
    round takes what adds most tokens over what its time is worth.
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
            policy = replace(policy, worth=written / sum(times))
    return found


class _Shares:
    """How often a token is kept that follows kept ones, by one feature of it."""

    def __init__(self, step: float, largest: float) -> None:
        self._step, self._largest = step, largest
        self._kept: Counter[int] = Counter()
        self._seen: Counter[int] = Counter()

    def count(self, features: Sequence[float], kept: int) -> None:
        """Take in a draft, of which so many tokens are kept."""
        for index, feature in enumerate(features[: kept + 1]):
            self._seen[self._bin(feature)] += 1
            self._kept[self._bin(feature)] += index < kept

    def of(self, feature: float) -> float:
        """Return the share that was kept of tokens like this one."""
        return self._kept[self._bin(feature)] / (self._seen[self._bin(feature)] or 1)

    def _bin(self, feature: float) -> int:
        return int(min(feature, self._largest) / self._step)


@dataclass(frozen=True, slots=True)
class _Policy:
    """Takes in each round what adds most, where a second is worth `worth` tokens."""

    costs: Costs
    margins: _Shares
    matches: _Shares
    worth: float

    @classmethod
    def counted(cls, answers: Sequence[Known], costs: Costs) -> _Policy:
        """Know how often all drafts that could have been made are right."""
        policy = cls(costs, _Shares(0.25, 12), _Shares(1, 48), 1 / (costs.pass_s[0] + TOKEN_S))
        for trace, copies in answers:
            for at, (chain, copy) in enumerate(zip(trace.chains, copies, strict=True)):
                policy.margins.count(chain.margins, trace.kept(chain.token_ids, at))
                policy.matches.count(copy.features, trace.kept(copy.token_ids, at))
        return policy

    def seconds(self, answer: Known) -> float:
        """Return how long an answer takes."""
        (trace, copies), at, total_s = answer, 0, 0.0
        while at < len(trace.answer):
            chain, copy = trace.chains[at], copies[at]
            room = min(len(self.costs.pass_s), len(trace.answer) - at) - 1
            draft_s = self.costs.draft_token_s or 0.0
            drafted, gain = self._best(self.margins, chain.margins[:room], draft_s)
            copied, gain_of_copy = self._best(self.matches, copy.features[:room], 0.0)
            is_copy = gain_of_copy >= gain
            count, token_ids = (copied, copy.token_ids) if is_copy else (drafted, chain.token_ids)
            kept = trace.kept(token_ids[:count], at)
            total_s += self._round_s(count, 0.0 if is_copy else draft_s) + TOKEN_S * (kept + 1)
            at += kept + 1
        return total_s

    def _best(
        self, shares: _Shares, features: Sequence[float], draft_s: float
    ) -> tuple[int, float]:
        """Return how many tokens to draft, and what is expected of it in tokens."""
        survival, tokens = 1.0, 0.0
        best, most = 0, -self.worth * self._round_s(0, draft_s)
        for count, feature in enumerate(features, 1):
            survival *= shares.of(feature)
            tokens += survival * (1 - self.worth * TOKEN_S)
            gain = tokens - self.worth * self._round_s(count, draft_s)
            if gain > most:
                best, most = count, gain
        return best, most

    def _round_s(self, count: int, draft_s: float) -> float:
        return min(self.costs.pass_s[count:]) + count * draft_s


def _foreseen_s(trace: Trace, costs: Costs) -> float:
    most = len(costs.pass_s) - 1
    copied = [trace.kept(copy.token_ids, at) for at, copy in enumerate(copies_of(trace, most))]
    left_s = [0.0] * (len(trace.answer) + 1)
    for at in reversed(range(len(trace.answer))):
        drafted = trace.kept(trace.chains[at].token_ids, at)
        reach = min(most, max(drafted, copied[at]), len(trace.answer) - at - 1)
        left_s[at] = min(
            min(costs.pass_s[count:])
            + (0.0 if count <= copied[at] else count * (costs.draft_token_s or 0.0))
            + TOKEN_S * (count + 1)
            + left_s[at + count + 1]
            for count in range(reach + 1)
        )
    return left_s[0]
