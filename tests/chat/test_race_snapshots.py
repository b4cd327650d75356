from __future__ import annotations

from dataclasses import replace

import pytest

from config import SamplingParams
from tests.chat.racing import DRAFTED, OLLAMA, PLAIN, answer, race, request
from utils.chat.race_snapshots import RaceRequest, is_same_text, positions, tokens_at, verdict
from utils.chat.snapshots import Handover
from utils.engine.protocol import ChatMessage
from utils.errors import RequestError

SLOW, FAST = answer(token_s=0.02), answer(token_s=0.01)


def test_sides_take_turns_so_that_drift_hits_both_alike():
    assert "".join(request(runs_each=1).order) == "ab"
    assert "".join(request(runs_each=3).order) == "abbaab"
    assert "".join(request(runs_each=4).order) == "abbaabba"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"messages": ()}, "prompt is empty"),
        ({"messages": (ChatMessage(role="user", content=" \n"),)}, "prompt is empty"),
        ({"runs_each": 0}, "0 runs each"),
        ({"runs_each": 11}, "choose 1 to 10"),
        ({"sampling": SamplingParams(seed=1, max_tokens=5000)}, "5000 tokens are too long"),
        ({"sampling": SamplingParams()}, "there is no seed"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_sentence(wrong, message):
    fine = {"messages": request().messages, "sampling": SamplingParams(seed=1)}
    with pytest.raises(RequestError, match=message):
        RaceRequest(**{"a": PLAIN, "b": DRAFTED, **fine, **wrong})


def test_the_verdict_compares_medians_and_names_the_faster_side():
    found = verdict(race(("a", SLOW), ("b", FAST), ("b", FAST), ("a", SLOW)))
    assert (found.faster, found.runs) == ("b", (2, 2))
    assert found.speedup == pytest.approx(2.0)


def test_one_run_that_was_disturbed_does_not_change_the_verdict():
    runs = [("a", SLOW), ("b", FAST)] * 3 + [("b", answer(token_s=1.0))]
    assert verdict(race(*runs)).speedup == pytest.approx(2.0, rel=0.01)


def test_there_is_no_interval_before_three_runs_of_each_and_no_verdict_before_one():
    assert verdict(race(("a", SLOW))) is None
    assert verdict(race(*[("a", SLOW), ("b", FAST)] * 2)).interval is None
    assert verdict(race(*[("a", SLOW), ("b", FAST)] * 3)).interval == pytest.approx((2, 2))


def test_an_interval_that_holds_one_shows_no_difference():
    times = [0.010, 0.014, 0.011, 0.013]
    noisy = [("a", answer(token_s=s)) for s in times] + [("b", answer(token_s=s)) for s in times]
    found = verdict(race(*noisy))
    assert found.interval[0] < 1 < found.interval[1]
    assert not found.is_clear
    assert verdict(race(*[("a", SLOW), ("b", FAST)] * 3)).is_clear


@pytest.mark.parametrize(
    ("asked", "writer", "counts"),
    [(OLLAMA, "Ollama (demo)", True), (OLLAMA, "", False), (PLAIN, "Ollama (demo)", False)],
)
def test_an_answer_that_another_wrote_is_left_out(asked, writer, counts):
    seen = race(("a", answer(writer=writer)), asked=request(a=asked))
    assert bool(seen.ended("a")) is counts
    assert seen.runs[0].has_strayed is not counts


@pytest.mark.parametrize(("asked", "writer"), [(OLLAMA, "Ollama (demo)"), (PLAIN, "")])
def test_an_answer_that_two_wrote_is_left_out(asked, writer):
    joined = replace(answer(writer=writer), handovers=(Handover(3, "it broke; another went on"),))
    seen = race(("a", joined), asked=request(a=asked))
    assert not seen.ended("a")
    assert seen.runs[0].has_strayed


def test_an_answer_that_was_stopped_or_is_empty_does_not_count():
    stopped = replace(FAST, state="stopped")
    seen = race(("a", stopped), ("b", answer(words=(), ids=())))
    assert not seen.ended("a")
    assert not seen.ended("b")


def test_texts_are_the_same_only_where_all_runs_wrote_it():
    other = answer(("one", " two", " four"))
    assert is_same_text(race(("a", SLOW))) is None
    assert is_same_text(race(("a", SLOW), ("b", FAST))) is True
    assert is_same_text(race(("a", SLOW), ("b", FAST), ("b", other))) is False


def test_the_side_that_waits_stands_where_it_was_at_that_time():
    growing = answer(("one", " two"), ids=(0, 1), token_s=0.005, ends=False)
    seen = race(("a", FAST), current=("b", growing), state="running")
    # After 10 ms A had one token of three, B has two by now.
    assert positions(seen) == pytest.approx((1 / 3, 2 / 3))


def test_at_the_end_the_bars_show_the_moment_when_the_faster_side_arrives():
    assert positions(race(("a", SLOW), ("b", FAST))) == pytest.approx((1 / 3, 1.0))


def test_bars_stay_at_the_start_before_anything_was_written():
    assert positions(race(state="running")) == (0.0, 0.0)


def test_tokens_are_counted_by_rounds_that_were_over():
    assert [tokens_at(FAST, s) for s in (0.0, 0.009, 0.01, 0.025, 9.0)] == [0, 0, 1, 2, 3]


def test_a_blind_comparison_is_revealed_by_a_vote_which_takes_both_answers():
    blind = request(is_blind=True)
    assert not race(("a", SLOW), asked=blind).may_vote
    both = race(("a", SLOW), ("b", FAST), asked=blind)
    assert both.may_vote
    assert not both.is_revealed
    voted = replace(both, vote="b")
    assert voted.is_revealed
    assert not voted.may_vote


def test_a_side_has_the_speed_of_its_runs_that_count_or_of_the_one_that_is_on():
    lost, cut = answer(drafter=None), replace(FAST, state="stopped")
    assert race(("b", FAST), ("b", lost)).tokens_per_second("b") == pytest.approx(100)
    on = race(("b", lost), state="running", current=("b", answer(ends=False)))
    assert on.tokens_per_second("b") == pytest.approx(100)
    strayed = race(state="running", current=("b", answer(drafter=None, ends=False)))
    for none in (race(("b", lost)), race(("b", cut)), race(), strayed):
        assert none.tokens_per_second("b") == 0
        assert positions(replace(none, current=None))[1] == 0
