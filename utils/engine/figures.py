"""What the worker knows in numbers: what passes cost, what drafts are worth, which token is likely.

Values that travel in messages, and how they are read off what the engine learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config import LOOKUP
from utils.cost_table import CostTable
from utils.drafters.draft_cost import DraftCost
from utils.drafters.record import DraftingRecord


@dataclass(frozen=True, slots=True)
class TokenLogit:
    """A token that may come next: its text, and the raw logit of the target."""

    token_id: int
    piece: str
    logit: float


@dataclass(frozen=True, slots=True)
class PassCosts:
    """Seconds of a pass over 1, 2, 3... tokens, with `depth` tokens in the cache."""

    depth: int
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DraftFigures:
    """What is known of one way to draft: `name` is that of the draft model, or `lookup` alone.

    `token_s` is the time of a drafted token, 0 without a model. `acceptance` is the share of
    drafted tokens expected to be kept, learnt from `judged` of them; `lookup_acceptance` and
    `lookup_judged` are the same of tokens copied from the text. Drafting `best_length` tokens a
    round is now expected to pay best; 0: none. Times are at the pace of the costs.
    """

    name: str
    token_s: float
    acceptance: float
    judged: int
    lookup_acceptance: float
    lookup_judged: int
    best_length: int


def describe_costs(costs: CostTable) -> tuple[PassCosts, ...]:
    """Return what passes cost at each depth that was measured."""
    return tuple(PassCosts(depth, tuple(costs.at(depth))) for depth in costs.depths)


def describe_drafts(
    records: Mapping[str, DraftingRecord], max_draft_tokens: int
) -> tuple[DraftFigures, ...]:
    """Return what the records of one owner tell, by the name of the draft."""
    return tuple(_figures(name, record, max_draft_tokens) for name, record in records.items())


def _figures(name: str, record: DraftingRecord, max_draft_tokens: int) -> DraftFigures:
    is_model = name != LOOKUP
    judge = record.margins if is_model else record.matches
    cost = record.draft_cost if is_model else DraftCost(0.0)
    return DraftFigures(
        name=name,
        token_s=cost.token_s,
        acceptance=judge.newest,
        judged=judge.observed,
        lookup_acceptance=record.matches.newest,
        lookup_judged=record.matches.observed,
        best_length=_best_length(record, judge.expected, cost, max_draft_tokens),
    )


def _best_length(record: DraftingRecord, rate: float, cost: DraftCost, most: int) -> int:
    """Return how many drafted tokens give the most tokens a second, each kept with this rate."""
    pass_s, survival, tokens = record.pass_s, 1.0, 1.0
    best, best_rate = 0, record.plain_rate
    for count in range(1, min(most, len(pass_s) - 1) + 1):
        survival *= rate
        tokens += survival
        expected = tokens / (pass_s[count] + tokens * record.token_s + cost.seconds(count))
        if expected > best_rate:
            best, best_rate = count, expected
    return best
