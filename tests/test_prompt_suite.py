"""The prompts of benchmarks and comparisons."""

from __future__ import annotations

import pytest

from utils.prompt_suite import left_over, load_suite

CATEGORIES = {
    "chat",
    "code",
    "editing code",
    "copying",
    "summarising",
    "lists and JSON",
    "reasoning",
    "translation",
    "stories",
    "multi-turn",
}


def test_every_category_has_six_different_prompts_at_least_and_all_have_sixty():
    suite = load_suite()
    assert set(suite) == CATEGORIES
    for prompts in suite.values():
        assert len(set(prompts)) == len(prompts) >= 6
        assert all(turn.strip() for turns in prompts for turn in turns)
    assert sum(map(len, suite.values())) >= 60


def test_a_conversation_ends_with_a_question_of_the_user():
    for prompts in load_suite().values():
        assert all(len(turns) % 2 for turns in prompts)
    assert all(len(turns) >= 3 for turns in load_suite()["multi-turn"])


def test_a_limit_takes_the_first_prompts_of_each_category():
    limited = load_suite(limit=2)
    assert limited == {name: prompts[:2] for name, prompts in load_suite().items()}
    asked = {turns[0] for prompts in limited.values() for turns in prompts}
    assert not asked & set(left_over(limited))


def test_categories_can_be_chosen_and_a_wrong_name_is_told():
    assert list(load_suite(categories=["copying"])) == ["copying"]
    with pytest.raises(ValueError, match=r"no such category: cooking; there are chat, code"):
        load_suite(categories=["cooking"])
