from __future__ import annotations

import itertools
from random import Random

import pytest

from benchmarks.bounds import expect, foresee
from benchmarks.models import DRAFT, TARGET
from benchmarks.replay import replay, rows_of
from benchmarks.rig import Costs, Rig
from benchmarks.traces import Chain, Trace, record_traces
from config import ModelOptions, SamplingParams

FLAT = Costs((1.0,) * 17, 0.0)
MIDDLING = Costs(tuple(1 + 0.2 * width for width in range(17)), 0.2)
STEEP = Costs(tuple(float(width) for width in range(1, 18)), 0.5)
ANSWER = tuple(range(100, 160))


def trace(*, right: int) -> Trace:
    """An answer of 60 tokens of which the draft always foresees the next `right`."""
    padded = (*ANSWER, *range(200, 220))
    chains = tuple(
        Chain((*padded[at : at + right], *[7] * (16 - right)), (5.0,) * right + (0.2,) * 16)
        for at in range(len(ANSWER))
    )
    return Trace("counting", (1, 2, 3), ANSWER, chains)


def pieces() -> Trace:
    """Ten pieces of the prompt in another order, of which a draft knows how each begins."""
    known = [range(100 * piece, 100 * piece + 8) for piece in range(1, 11)]
    prompt = tuple(itertools.chain(*known))
    answer = tuple(itertools.chain(*(known[7 * place % 10] for place in range(10))))
    chains = tuple(
        Chain(answer[at : at + 2], (5.0, 5.0)) if at % 8 < 2 else Chain((7,), (0.2,))
        for at in range(len(answer))
    )
    return Trace("pieces", prompt, answer, chains)


def half(whole: Trace, which: int) -> Trace:
    """The same answer, with a wrong draft at half of the tokens, and nothing that would tell."""
    wrong = Random(which).choices((True, False), k=len(whole.answer))
    chains = tuple(
        Chain((7,) * 16 if wrong[at] else chain.token_ids, (5.0,) * 16)
        for at, chain in enumerate(whole.chains)
    )
    return Trace(whole.category, whole.prompt, whole.answer, chains)


def test_with_foresight_every_pass_carries_what_will_be_kept():
    assert foresee([trace(right=3)], FLAT)["counting"] == pytest.approx(4, rel=0.01)


def test_a_fixed_length_gets_what_is_kept_of_it():
    assert replay([trace(right=3)], FLAT, length=2)["counting"] == pytest.approx(3, rel=0.01)
    assert replay([trace(right=3)], FLAT, length=9)["counting"] == pytest.approx(4, rel=0.01)


def test_where_a_wider_pass_costs_as_much_as_several_foresight_drafts_nothing():
    assert foresee([trace(right=16)], STEEP)["counting"] == pytest.approx(1, rel=0.01)
    assert replay([trace(right=16)], STEEP, length=4)["counting"] < 0.8


@pytest.mark.parametrize("costs", [FLAT, STEEP])
@pytest.mark.parametrize("right", [0, 2, 16])
def test_adaptive_drafting_is_never_faster_than_foresight(costs, right):
    traces = [trace(right=right)] * 10
    adaptive, most = replay(traces, costs)["counting"], foresee(traces, costs)["counting"]
    assert 0.95 < adaptive <= most + 1e-9


def test_without_foresight_a_draft_that_is_known_to_be_right_is_made_as_long_as_it_is():
    assert expect([trace(right=16)], FLAT)["counting"] == pytest.approx(15, rel=0.05)
    assert expect([trace(right=16)], STEEP)["counting"] == pytest.approx(1, rel=0.01)


def test_without_foresight_equal_margins_cannot_be_told_apart():
    """One token in two is right, and all look alike: with foresight only right ones are drafted."""
    halves = [half(trace(right=3), which) for which in range(2)]
    known, foreseen = expect(halves, MIDDLING)["counting"], foresee(halves, MIDDLING)["counting"]
    assert 1 <= known < 0.9 * foreseen


@pytest.mark.parametrize("costs", [FLAT, MIDDLING, STEEP])
def test_the_best_choice_is_no_worse_than_any_fixed_length(costs):
    """As bad where nothing is drafted as in a category where nothing tells when to."""
    traces = [half(trace(right=3), at) for at in range(2)] + [pieces()]
    known = expect(traces, costs)
    for length in range(1, 17):
        for category, speedup in replay(traces, costs, length=length).items():
            assert speedup <= known[category] + 1e-9


@pytest.mark.parametrize("costs", [FLAT, MIDDLING, STEEP])
@pytest.mark.parametrize("right", [0, 2, 16])
def test_knowing_beforehand_lies_between_adaptive_drafting_and_foresight(costs, right):
    traces = [trace(right=right)] * 10
    known = expect(traces, costs)["counting"]
    assert replay(traces, costs)["counting"] <= known * 1.01
    assert known <= foresee(traces, costs)["counting"] + 1e-9


def test_a_lookup_that_goes_on_from_a_draft_is_part_of_what_can_be_had():
    """By itself the draft writes three tokens of a piece and the copy the others: two passes."""
    traces = [pieces()] * 10
    adaptive, known = replay(traces, FLAT)["pieces"], expect(traces, FLAT)["pieces"]
    assert 5 < adaptive <= known * 1.01
    assert known <= foresee(traces, FLAT)["pieces"] + 1e-9


def test_the_traces_of_the_embedded_pair_say_what_its_draft_says():
    with Rig(TARGET, DRAFT, ModelOptions(context_tokens=256)) as rig:
        sampling = SamplingParams(temperature=0, max_tokens=24, seed=1)
        (trace,) = record_traces(rig, {"chat": [("What is a draft model?",)]}, sampling)
    assert len(trace.chains) == len(trace.answer) > 4
    kept = [trace.kept(chain.token_ids, at) for at, chain in enumerate(trace.chains)]
    assert sum(kept) > len(kept)


def test_the_table_says_how_much_of_what_is_possible_was_reached():
    rows = rows_of([trace(right=16)] * 5, {"a pair": FLAT})
    assert rows[1][0] == "a pair"
    assert rows[1][rows[0].index("reached")].endswith("%")
