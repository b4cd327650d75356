"""What a draft is worth while it grows: against a search through all that could be done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.drafters.prospect import Prospect

FLAT = [1.0, 1.1, 1.2, 1.3, 1.4]
# A pass over two tokens costs nearly as much as one over five.
STEEP_AT_FIRST = [1.0, 1.9, 1.95, 2.0, 2.05]


def prospect(pass_s: list[float], *, may_shrink: bool = True, draft_s: float = 0.1) -> Prospect:
    return Prospect(
        pass_s, worth_of_second=1.0, token_s=0.0, draft_token_s=draft_s, may_shrink=may_shrink
    )


def value(pass_s: list[float], rates: list[float]) -> float:
    """Return the tokens expected of a draft beyond the bonus, less the time of its pass."""
    tokens, survival = 0.0, 1.0
    for rate in rates:
        survival *= rate
        tokens += survival
    return tokens - pass_s[len(rates)]


@given(st.lists(st.floats(0, 1), max_size=4), st.lists(st.floats(1, 4), min_size=5, max_size=5))
def test_as_many_tokens_are_verified_as_are_worth_most(rates, pass_s):
    draft = prospect(pass_s)
    for rate in rates:
        draft.add(rate)
    length = draft.best_length(0, len(rates))
    best = max(value(pass_s, rates[:count]) for count in range(len(rates) + 1))
    assert value(pass_s, rates[:length]) == pytest.approx(best)


def test_a_draft_grows_while_a_token_more_is_worth_its_time():
    draft = prospect(FLAT)
    assert draft.grows(0.9)
    draft.add(0.9)
    assert draft.grows(0.9)
    assert not draft.grows(0.1)


def test_where_the_first_tokens_are_dear_a_bad_one_ends_the_draft_though_more_would_cost_little():
    draft = prospect(STEEP_AT_FIRST)
    assert draft.grows(0.9)
    draft.add(0.3)
    assert not draft.grows(0.9)
    assert draft.best_length(0, 1) == 0


def test_what_has_to_be_judged_is_gone_on_with_once_it_is_drawn():
    draft = prospect(STEEP_AT_FIRST, may_shrink=False)
    draft.add(0.3)
    assert draft.grows(0.9)
    assert draft.best_length(1, 1) == 1


def test_a_draft_ends_where_no_pass_is_wider():
    draft = prospect(FLAT[:2])
    draft.add(1.0)
    assert not draft.grows(1.0)
    draft.add(1.0)
    assert draft.best_length(0, 2) == 1
