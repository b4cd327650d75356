"""Answers played again without a model, in the time that their passes are known to take.

What the draft would have said at each place of an answer is recorded once. Then any way of drafting
can be timed in a moment, without noise, by the costs that were measured on some pair; a grown pair
says what the embedded one says, so that its costs can be put in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from benchmarks.bounds import Speedups, by_category, expect, fixed_s, foresee
from benchmarks.rig import Costs
from benchmarks.tables import Row
from benchmarks.traces import TOKEN_S, NoPicker, Trace
from utils.cost_table import CostTable
from utils.drafters.lookup import LookupDrafter
from utils.drafters.model_drafter import LOOK_BACK_TOKENS, MOST_LOOKED_BACK
from utils.drafters.portfolio import Portfolio
from utils.drafters.protocol import Hindsight
from utils.drafters.record import DraftingRecord
from utils.engine.draft_shelf import MAX_DRAFT_TOKENS
from utils.performance_monitor import RoundStats
from utils.sampling import Distribution
from utils.token_validator import Draft

CATCH_UP_SHARE = 0.25
DEPTH = 64


class _Replayed:
    """A draft model that reads its tokens off a trace; its last draft took `draft_s`."""

    name = "draft"
    reads_guesses = False

    def __init__(self, trace: Trace, costs: Costs) -> None:
        self._trace = trace
        self._costs = costs
        self._read = 0
        self.draft_s = 0.0
        self.hindsight: Hindsight = ()

    def begin(self, token_ids: Sequence[int]) -> None:
        """Hold nothing yet."""

    def lag(self, token_ids: Sequence[int]) -> int:
        """Return how many tokens it has not read."""
        return len(token_ids) - self._read

    def propose(
        self,
        token_ids: Sequence[int],
        limit: int,
        picker: object,
        wants_more: Callable[[float], bool] = lambda _margin: True,
    ) -> Draft:
        """Say what was said here, as far as it is wanted."""
        written = len(token_ids) - len(self._trace.prompt)
        self.hindsight = self._look_back(written)
        chain = self._trace.chains[written]
        drafted: list[int] = []
        for token_id, margin in zip(chain.token_ids[:limit], chain.margins, strict=False):
            drafted.append(token_id)
            if not wants_more(margin):
                break
        late = CATCH_UP_SHARE * max(0, self.lag(token_ids) - 2)
        self.draft_s = self._costs.draft_s(len(drafted)) + late * (self._costs.draft_token_s or 0.0)
        self._read = len(token_ids) + max(0, len(drafted) - 1)
        return Draft(tuple(drafted), tuple(map(Distribution.certain, drafted)))

    def _look_back(self, written: int) -> Hindsight:
        """Judge what would have been said for the newest of the tokens that are read only now."""
        unread = min(written, written - 1 - (self._read - len(self._trace.prompt)))
        if unread < LOOK_BACK_TOKENS:
            return ()
        places = range(written - min(unread, MOST_LOOKED_BACK), written)
        chains, answer = self._trace.chains, self._trace.answer
        return [(chains[at].margins[0], chains[at].token_ids[0] == answer[at]) for at in places]

    def observe(self, token_ids: Sequence[int]) -> None:
        """Hold nothing that was not kept."""
        self._read = min(self._read, len(token_ids) - 1)


def replay(traces: Sequence[Trace], costs: Costs, *, length: int | None = None) -> Speedups:
    """Return the speedup of each category: adaptive, or with a fixed `length` of the draft's."""
    table = CostTable({DEPTH: dict(enumerate(costs.pass_s, 1))}, max_width=len(costs.pass_s))
    record = DraftingRecord(table, draft_token_s=costs.draft_token_s)

    def seconds(trace: Trace) -> float:
        if length is None:
            return _adaptive_s(trace, costs, record)
        return fixed_s(trace, costs, length)

    return by_category(traces, costs, list(map(seconds, traces)))


def rows_of(traces: Sequence[Trace], known: Mapping[str, Costs]) -> list[Row]:
    """Return a table: for the costs of each pair, means over the categories."""
    head = ("costs of", "adaptive", "best fixed", "without foresight", "reached", "with foresight")
    rows: list[Row] = [head]
    for name, costs in known.items():
        lengths = range(1, len(costs.pass_s))
        fixed = {length: _mean(replay(traces, costs, length=length)) for length in lengths}
        best = max(fixed, key=fixed.__getitem__)
        adaptive, most = _mean(replay(traces, costs)), _mean(expect(traces, costs))
        figures = (f"{adaptive:.2f}", f"{fixed[best]:.2f} ({best})", f"{most:.2f}")
        ahead = _mean(foresee(traces, costs))
        rows.append((name, *figures, f"{adaptive / most:.0%}", f"{ahead:.2f}"))
    return rows


def _mean(speedups: Speedups) -> float:
    return fmean(speedups.values())


def _adaptive_s(trace: Trace, costs: Costs, record: DraftingRecord) -> float:
    model, total_s, written = _Replayed(trace, costs), 0.0, 0
    portfolio = Portfolio(model, LookupDrafter(), record, max_draft_tokens=MAX_DRAFT_TOKENS)
    token_ids = list(trace.prompt)
    portfolio.begin(token_ids)
    while written < len(trace.answer):
        model.draft_s = 0.0
        room = len(trace.answer) - written - 1
        draft = portfolio.propose(token_ids, room, NoPicker()).token_ids
        accepted = trace.kept(draft, written)
        width = portfolio.width(1 + len(draft), len(costs.pass_s))
        draft_s, pass_s = model.draft_s, costs.pass_s[width - 1]
        round_s = draft_s + pass_s + TOKEN_S * (accepted + 1)
        stats = RoundStats(
            "draft", len(draft), accepted, accepted + 1, draft_s, pass_s, round_s, len(token_ids)
        )
        token_ids += trace.answer[written : written + accepted + 1]
        portfolio.observe(token_ids, stats, pass_s=pass_s, width=width)
        written += accepted + 1
        total_s += round_s
    return total_s
