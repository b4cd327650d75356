"""Answers played again without a model, in the time that their passes are known to take.

What the draft would have said at each place of an answer is recorded once. Then any way of drafting
can be timed in a moment, without noise, by the costs that were measured on some pair; a grown pair
says what the embedded one says, so that its costs can be put in. With foresight, which drafts just
what will be kept, nobody can be faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from benchmarks.rig import PLAIN, Costs, Rig
from benchmarks.tables import Row
from config import SamplingParams
from utils.cost_table import CostTable
from utils.drafters.lookup import LookupDrafter
from utils.drafters.portfolio import Portfolio
from utils.drafters.record import DraftingRecord
from utils.engine.draft_shelf import MAX_DRAFT_TOKENS
from utils.model_session import FloatArray, ModelSession, common_prefix, prefill
from utils.performance_monitor import RoundStats
from utils.prompt_suite import Suite
from utils.sampling import Distribution, Sampler
from utils.token_validator import Draft, make_verifier

TOKEN_S = 0.0001
CATCH_UP_SHARE = 0.25
DEPTH = 64
Speedups = dict[str, float]


@dataclass(frozen=True, slots=True)
class Chain:
    """What the draft says from one place on, and by what margin it says each token."""

    token_ids: tuple[int, ...]
    margins: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """One answer of the target, and what the draft would say at each of its tokens."""

    category: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    chains: tuple[Chain, ...]

    def kept(self, drafted: Sequence[int], at: int) -> int:
        """Return how many drafted tokens the target keeps, where `at` were written before."""
        for index, token_id in enumerate(drafted):
            if at + index >= len(self.answer) or token_id != self.answer[at + index]:
                return index
        return len(drafted)


class _Replayed:
    """A draft model that reads its tokens off a trace; its last draft took `cost_tokens`."""

    name = "draft"

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._read = 0
        self.cost_tokens = 0.0

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
        chain = self._trace.chains[len(token_ids) - len(self._trace.prompt)]
        drafted: list[int] = []
        for token_id, margin in zip(chain.token_ids[:limit], chain.margins, strict=False):
            drafted.append(token_id)
            if not wants_more(margin):
                break
        self.cost_tokens = len(drafted) + CATCH_UP_SHARE * max(0, self.lag(token_ids) - 2)
        self._read = len(token_ids) + max(0, len(drafted) - 1)
        return Draft(tuple(drafted), tuple(map(Distribution.certain, drafted)))

    def observe(self, token_ids: Sequence[int]) -> None:
        """Hold nothing that was not kept."""
        self._read = min(self._read, len(token_ids) - 1)


class _NoPicker:
    """No token ends an answer before it is at its end."""

    def pick(
        self, logits: FloatArray, before: Sequence[int], drafted: Sequence[int]
    ) -> tuple[int, Distribution, float]:
        """Fail: the drafts are read off traces, where they were picked already."""
        raise RuntimeError("a replayed draft picks no tokens: it was asked to")

    def is_end(self, token_id: int) -> bool:
        """Say no."""
        return False


def record_traces(rig: Rig, suite: Suite, sampling: SamplingParams) -> list[Trace]:
    """Answer the prompts plain, and ask the draft at each token for the next 16."""
    if rig.draft is None:
        raise ValueError("nothing to replay: name a draft with --draft")
    traces = []
    for category, prompts in suite.items():
        for turns in prompts:
            prompt = rig.encode(*turns)
            rig.forget()
            answer = rig.answer(prompt, sampling, PLAIN).token_ids
            text = [*prompt, *answer]
            chains = [
                _chain(rig.draft.session, text[:end], sampling)
                for end in range(len(prompt), len(text))
            ]
            traces.append(Trace(category, tuple(prompt), answer, tuple(chains)))
    return traces


def replay(traces: Sequence[Trace], costs: Costs, *, length: int | None = None) -> Speedups:
    """Return the speedup of each category: adaptive, or with a fixed `length` of the draft's."""
    table = CostTable({DEPTH: dict(enumerate(costs.pass_s, 1))}, max_width=len(costs.pass_s))
    record = DraftingRecord(table, draft_token_s=costs.draft_token_s)

    def seconds(trace: Trace) -> float:
        if length is None:
            return _adaptive_s(trace, costs, record)
        return _fixed_s(trace, costs, length)

    return _by_category(traces, costs, seconds)


def foresee(traces: Sequence[Trace], costs: Costs) -> Speedups:
    """Return the most that drafting one text ahead can reach: it drafts just what will be kept.

    Each round takes the better of draft and lookup; the best sequence of rounds is found by
    dynamic programming from the end of the answer.
    """
    return _by_category(traces, costs, lambda trace: _foreseen_s(trace, costs))


def measured_costs(figures: Mapping[str, Any]) -> dict[str, Costs]:
    """Return the costs in what `--json` wrote, by pair."""
    return {
        f"{pair['target']}, draft {pair['draft']}": Costs(
            tuple(pair["costs"]["pass_s"]), pair["costs"]["draft_token_s"]
        )
        for pair in figures["pairs"]
        if pair.get("costs")
    }


def rows_of(traces: Sequence[Trace], known: Mapping[str, Costs]) -> list[Row]:
    """Return a table: for the costs of each pair, means over the categories."""
    rows: list[Row] = [("costs of", "adaptive", "best fixed", "with foresight", "reached")]
    for name, costs in known.items():
        lengths = range(1, len(costs.pass_s))
        fixed = {length: _mean(replay(traces, costs, length=length)) for length in lengths}
        best = max(fixed, key=fixed.__getitem__)
        adaptive, most = _mean(replay(traces, costs)), _mean(foresee(traces, costs))
        figures = (f"{adaptive:.2f}", f"{fixed[best]:.2f} ({best})", f"{most:.2f}")
        rows.append((name, *figures, f"{adaptive / most:.0%}"))
    return rows


def _mean(speedups: Speedups) -> float:
    return fmean(speedups.values())


def _by_category(
    traces: Sequence[Trace], costs: Costs, seconds: Callable[[Trace], float]
) -> Speedups:
    found: dict[str, list[float]] = {}
    for trace in traces:
        plain_s = len(trace.answer) * (costs.pass_s[0] + TOKEN_S)
        found.setdefault(trace.category, []).append(plain_s / seconds(trace))
    return {category: median(speedups) for category, speedups in found.items()}


def _adaptive_s(trace: Trace, costs: Costs, record: DraftingRecord) -> float:
    model, total_s, written = _Replayed(trace), 0.0, 0
    portfolio = Portfolio(model, LookupDrafter(), record, max_draft_tokens=MAX_DRAFT_TOKENS)
    token_ids = list(trace.prompt)
    portfolio.begin(token_ids)
    while written < len(trace.answer):
        model.cost_tokens = 0.0
        room = len(trace.answer) - written - 1
        draft = portfolio.propose(token_ids, room, _NoPicker()).token_ids
        accepted = trace.kept(draft, written)
        width = portfolio.width(1 + len(draft), len(costs.pass_s))
        draft_s, pass_s = model.cost_tokens * (costs.draft_token_s or 0.0), costs.pass_s[width - 1]
        round_s = draft_s + pass_s + TOKEN_S * (accepted + 1)
        stats = RoundStats(
            "draft", len(draft), accepted, accepted + 1, draft_s, pass_s, round_s, len(token_ids)
        )
        token_ids += trace.answer[written : written + accepted + 1]
        portfolio.observe(token_ids, stats, pass_s=pass_s, width=width)
        written += accepted + 1
        total_s += round_s
    return total_s


def _fixed_s(trace: Trace, costs: Costs, length: int) -> float:
    total_s, written = 0.0, 0
    while written < len(trace.answer):
        count = min(length, len(trace.answer) - written - 1)
        accepted = trace.kept(trace.chains[written].token_ids[:count], written)
        total_s += costs.pass_s[count] + count * (costs.draft_token_s or 0.0)
        total_s += TOKEN_S * (accepted + 1)
        written += accepted + 1
    return total_s


def _foreseen_s(trace: Trace, costs: Costs) -> float:
    most = len(costs.pass_s) - 1
    cheapest = [min(costs.pass_s[count:]) for count in range(most + 1)]
    copied, lookup = [], LookupDrafter()
    for at in range(len(trace.answer)):
        lookup.observe([*trace.prompt, *trace.answer[:at]])
        copied.append(trace.kept(lookup.copy(most, _NoPicker()), at))
    left_s = [0.0] * (len(trace.answer) + 1)
    for at in reversed(range(len(trace.answer))):
        drafted = trace.kept(trace.chains[at].token_ids, at)
        reach = min(most, max(drafted, copied[at]), len(trace.answer) - at - 1)
        left_s[at] = min(
            cheapest[count]
            + (0.0 if count <= copied[at] else count * (costs.draft_token_s or 0.0))
            + TOKEN_S * (count + 1)
            + left_s[at + count + 1]
            for count in range(reach + 1)
        )
    return left_s[0]


def _chain(session: ModelSession, text: Sequence[int], sampling: SamplingParams) -> Chain:
    """Let the draft go on after `text`, with the noise that the target draws with."""
    sampler, verifier = Sampler(sampling), make_verifier("coupled", sampling.seed or 0)
    session.rollback(common_prefix(session.cached, text[:-1]))
    for _ in prefill(session, text[:-1]):
        pass
    drafted: list[int] = []
    margins: list[float] = []
    unread = text[-1]
    while len(drafted) < MAX_DRAFT_TOKENS and len(session.cached) < session.n_ctx:
        logits = session.decode([unread], rows=1)[0]
        distribution = sampler.distribution(logits, text, drafted)
        unread, margin = verifier.propose(distribution, len(text) + len(drafted))
        if sampling.is_greedy:
            margin = sampler.lead(logits, unread, text, drafted)
        drafted.append(unread)
        margins.append(margin)
    return Chain(tuple(drafted), tuple(margins))
