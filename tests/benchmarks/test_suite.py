"""The prompts of the benchmark."""

from __future__ import annotations

from benchmarks.suite import load_suite


def test_every_category_has_six_different_prompts_at_least():
    suite = load_suite()
    assert set(suite) >= {"chat", "code", "copying", "lists"}
    for prompts in suite.values():
        assert len(set(prompts)) == len(prompts) >= 6
        assert all(prompt.strip() for prompt in prompts)


def test_a_limit_takes_the_first_prompts_of_each_category():
    assert [len(prompts) for prompts in load_suite(limit=2).values()] == [2] * len(load_suite())
