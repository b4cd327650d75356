from __future__ import annotations

from dataclasses import replace

import pytest

from utils.chat.answer_groups import group_answers, speed_of, speedup_of
from utils.chat.answer_history import AnswerFigures

FAST = AnswerFigures(
    turn_id="t1",
    conversation_id="c",
    owner="o",
    model="large",
    drafter="small",
    backend="engine",
    mode="speculative",
    state="done",
    started_at=1_000.0,
    prompt_tokens=10,
    completion_tokens=100,
    prefill_s=0.1,
    ttft_s=0.2,
    decode_s=2.0,
    rounds=40,
    drafted=80,
    accepted=60,
    baseline_tps=25.0,
    draft_s=0.5,
    verify_s=1.4,
    total_s=2.0,
    fell_back=False,
    error="",
    draft_length="adaptive",
)
SLOW = replace(FAST, turn_id="t2", decode_s=4.0, drafted=20, accepted=0, rounds=100)
EMPTY = replace(
    FAST,
    turn_id="t3",
    completion_tokens=0,
    decode_s=0.0,
    rounds=0,
    drafted=0,
    accepted=0,
    ttft_s=0.0,
    state="failed",
    error="the target failed",
)


def test_answers_are_put_together_by_model_draft_and_who_ran_it():
    plain, ollama = replace(FAST, drafter=""), replace(FAST, drafter="", backend="ollama")
    groups = group_answers([FAST, plain, SLOW, ollama])
    assert [group.key for group in groups] == [
        ("large", "small", "engine"),
        ("large", "", "engine"),
        ("large", "", "ollama"),
    ]
    assert [(n, answer.turn_id) for n, answer in groups[0].numbered] == [(2, "t1"), (1, "t2")]


def test_the_figures_of_a_group_are_medians_and_shares_of_all_tokens():
    (group,) = group_answers([FAST, SLOW])
    assert group.tokens_per_second == pytest.approx(37.5)
    assert group.speedup == pytest.approx(1.5)
    assert group.acceptance_rate == pytest.approx(0.6)
    assert group.tokens_a_round == pytest.approx(200 / 140)
    assert group.ttft_s == pytest.approx(0.2)


def test_answers_without_a_token_count_as_answers_alone():
    (group,) = group_answers([FAST, EMPTY])
    assert (len(group.answers), len(group.written), group.failed) == (2, 1, 1)
    assert group.tokens_per_second == speed_of(FAST) == 50


def test_a_group_of_failures_has_no_rate():
    (group,) = group_answers([EMPTY])
    assert (group.tokens_per_second, group.speedup, group.acceptance_rate, group.ttft_s) == (
        0,
        0,
        0,
        0,
    )


def test_no_speedup_is_claimed_where_the_plain_speed_is_not_known():
    assert speedup_of(replace(FAST, baseline_tps=0.0)) == 0
    assert speedup_of(FAST) == 2


def test_what_is_not_known_of_one_answer_does_not_lower_the_middle():
    unknown = replace(FAST, baseline_tps=0.0, ttft_s=0.0)
    (group,) = group_answers([FAST, unknown])
    assert (group.speedup, group.ttft_s) == (2, pytest.approx(0.2))
