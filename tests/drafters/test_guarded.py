"""Drafting at a fixed length: how wide its passes are, and when plain steps are timed."""

from __future__ import annotations

from config import SpeculativeConfig
from utils.cost_table import CostTable
from utils.draft_length import FIRST_PROBE, PROBE_EVERY, PROBE_ROUNDS, FixedDraftLength
from utils.drafters.guarded import GuardedDrafter
from utils.drafters.lookup import LookupDrafter
from utils.performance_monitor import RoundStats

# Four tokens are cheaper than two or three.
COSTS = {1: 1.0, 2: 1.9, 3: 2.2, 4: 1.8, 5: 2.5}


def guarded(costs: CostTable | None) -> GuardedDrafter:
    length = FixedDraftLength(SpeculativeConfig(max_draft_tokens=3))
    return GuardedDrafter(LookupDrafter(), length, costs=costs)


def test_passes_are_as_wide_as_is_cheapest_within_the_limit():
    drafter = guarded(CostTable({0: COSTS}, max_width=5))
    assert [drafter.width(count, 5) for count in (2, 3, 4, 5)] == [4, 4, 4, 5]
    assert drafter.width(2, 3) == 2


def test_a_plain_step_stays_one_token_wide_whatever_a_table_says():
    cheap = CostTable({0: {1: 1.0, 4: 0.95}}, max_width=5)
    assert guarded(cheap).width(1, 5) == 1


def test_without_known_costs_nothing_is_padded():
    assert guarded(None).width(2, 5) == 2


def test_plain_steps_come_in_a_row_and_soon():
    length = FixedDraftLength(SpeculativeConfig(max_draft_tokens=3, acceptance_threshold=0))
    plain = []
    for number in range(2 * PROBE_EVERY):
        drafted = length.decide().length
        plain += [] if drafted else [number]
        length.observe(RoundStats("x", drafted, drafted, drafted + 1, 0.0, 1.0, 1.0, 0))
    row = list(range(FIRST_PROBE, FIRST_PROBE + PROBE_ROUNDS))
    assert plain == row + [PROBE_EVERY + number for number in row]
