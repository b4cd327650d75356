"""What the gate lets pass, on known figures."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.comparison import ALL, CategoryResult
from benchmarks.gate import loop_problems, speed_problems
from benchmarks.loop import LoopCost

CHAT = CategoryResult("chat", 1.5, 1.4, 1.6, 0.75, 3.5, 1000.0, 8, 8)
EVERYTHING = replace(CHAT, name=ALL)


def test_a_gain_passes():
    assert speed_problems([CHAT, EVERYTHING]) == []


def test_a_category_that_is_surely_slower_does_not_pass():
    slow = replace(CHAT, speedup=0.93, low=0.9, high=0.96)
    problems = speed_problems([slow, EVERYTHING])
    assert problems == ["chat: 0.93 of plain speed, at most 0.96, less than 0.97"]


def test_a_category_that_may_be_as_fast_passes():
    assert speed_problems([replace(CHAT, speedup=0.95, low=0.9, high=0.98), EVERYTHING]) == []


def test_drafting_that_yields_nothing_does_not_pass():
    assert "1.00 tokens" in speed_problems([CHAT, replace(EVERYTHING, tokens_per_forward=1.0)])[0]


def test_plain_decoding_must_keep_up_with_a_bare_loop():
    assert loop_problems(LoopCost("x", 9, 960, 1000, plain_vs_llama_cpp=0.96)) == []
    assert "0.940" in loop_problems(LoopCost("x", 9, 940, 1000, plain_vs_llama_cpp=0.94))[0]
