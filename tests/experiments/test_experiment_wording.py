from __future__ import annotations

from dataclasses import replace

import pytest

from tests.experiments.simulated import experiment, outcome
from utils.experiments.effects import METRICS, SPEED, Effect, Sample, compare_arms
from utils.experiments.rollout import Decision, Enrolment, Rollout
from utils.experiments.wording import (
    arm_table,
    decision_sentence,
    effect_text,
    rollout_sentence,
    share_interval,
    verdict,
    votes_sentence,
)
from utils.storage.votes import Vote

PLAIN = str.maketrans("\N{MULTIPLICATION SIGN}\N{MINUS SIGN}\N{EN DASH}", "x--")
PART = Enrolment(1, "f00d", "standard")
SOME = Effect(SPEED, Sample(50.0, 40, 5), Sample(60.0, 38, 4), 1.2, 1.1, 1.31, 60)
VOTE = Vote(
    "r", "o", 0.0, "m", "a", "standard", "speculative", "Standard", "Speculative", 50.0, 60.0
)


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (SOME, "Drafting makes answers faster: 1.20x the tokens per second, 1.10 to 1.31x"),
        (replace(SOME, value=0.8, low=0.7, high=0.9), "Drafting makes answers slower: 0.80x"),
        (replace(SOME, value=1.0, low=0.9, high=1.1), "changes the speed by less than 20"),
        (replace(SOME, value=1.1, low=0.9, high=1.4), "No difference is certain: 0.90 to 1.40x"),
        (replace(SOME, planned_answers=834), "Not enough data yet: 78 of ~830 answers."),
        (replace(SOME, planned_answers=834, is_clear=True), "Drafting makes answers faster"),
        (
            replace(SOME, low=None, high=None, planned_answers=None),
            "Not enough data yet: 78 answers of 9 browsers; each side needs 3 browsers or more",
        ),
        (compare_arms([outcome()]), "compare with yet: 1 standard answer, and no speculative one."),
        (compare_arms([]), "No answers yet"),
    ],
)
def test_the_verdict_says_what_is_known_and_no_more(effect, words):
    assert words in verdict(effect).sentence.translate(PLAIN)


@pytest.mark.parametrize(
    ("changes", "is_decided"),
    [
        ({}, True),
        ({"low": 0.9, "high": 1.1}, True),
        ({"low": 0.9, "high": 1.4}, False),
        ({"planned_answers": 80}, False),
    ],
)
def test_only_what_the_figures_decide_is_called_decided(changes, is_decided):
    assert verdict(replace(SOME, **changes)).is_decided is is_decided


def test_the_table_has_a_row_for_each_figure_and_no_gap():
    answers = [outcome(), outcome("a2", arm="speculative", thumb=True, state="failed")]
    rows = arm_table([compare_arms(answers, metric) for metric in METRICS])
    assert [row[0] for row in rows][:3] == ["Answers", "Browsers", "Tokens/s"]
    table = {row[0]: tuple(cell.translate(PLAIN) for cell in row[1:]) for row in rows}
    assert table["Answers"][:2] == ("1", "1")
    assert table["Failed"] == ("0%", "100%", "+100 points")
    assert table["Thumbs up"] == ("-", "100%", "-")
    assert all(cell for row in rows for cell in row)


def test_an_effect_is_told_with_its_interval():
    assert effect_text(SOME).translate(PLAIN) == "1.20x (1.10 to 1.31)"
    rates = compare_arms(experiment(1, per_arm=4), METRICS[3])
    text = effect_text(replace(rates, value=-0.05, low=-0.1, high=0.0))
    assert text.translate(PLAIN) == "-5 points (-10 to +0)"


@pytest.mark.parametrize(
    ("percent", "is_stopped", "words"),
    [
        (30, False, "about 30% of the browsers draft"),
        (None, False, "No experiment runs"),
        (30, True, "Drafting is stopped"),
    ],
)
def test_the_state_of_the_experiment_is_one_sentence(percent, is_stopped, words):
    rollout = Rollout(1, "salt", percent, is_stopped, 0.0)
    assert words in rollout_sentence(rollout).translate(PLAIN)


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (Decision(False, "stopped"), "does not draft, and no other does"),
        (Decision(True, "chosen"), "drafts, by your own choice; its answers are left out"),
        (Decision(False, "assigned", PART), "does not draft, by chance; its answers count"),
        (Decision(True, "default"), "drafts, by default; its answers are left out"),
    ],
)
def test_everybody_is_told_what_their_browser_does_and_why(decision, words):
    assert words in decision_sentence(decision)


def test_votes_are_counted_by_what_was_preferred_wherever_it_stood():
    votes = [
        VOTE,
        replace(VOTE, choice="b"),
        replace(VOTE, choice="a", arm_a="speculative", arm_b="standard"),
        replace(VOTE, choice="neither"),
        replace(VOTE, arm_a="ollama"),
    ]
    text = votes_sentence(votes).translate(PLAIN)
    assert "4 blind votes in Compare: 2 for speculative, 1 for standard, 1 for neither." in text
    assert "67% preferred speculative (21% to 94% with 95% confidence)" in text


def test_without_votes_nothing_is_said_of_them():
    assert votes_sentence([]) == ""
    assert votes_sentence([replace(VOTE, arm_a="ollama")]) == ""
    assert "confidence" not in votes_sentence([replace(VOTE, choice="neither")])


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(0, 1, 0.0, 0.793), (1, 1, 0.207, 1.0), (5, 10, 0.237, 0.763), (81, 263, 0.255, 0.366)],
)
def test_the_interval_of_a_share_is_that_of_the_books(part, whole, low, high):
    # The last is Newcombe's example (Statistics in Medicine 17, 1998).
    assert share_interval(part, whole) == pytest.approx((low, high), abs=1e-3)
