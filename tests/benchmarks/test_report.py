"""The report of known figures, as JSON and as Markdown."""

from __future__ import annotations

import pytest

from benchmarks.comparison import CategoryResult, Setting
from benchmarks.latency import Latency
from benchmarks.loop import LoopCost
from benchmarks.machine import Machine
from benchmarks.report import PairResult, Report

MACHINE = Machine("A processor", 2, "Linux x86_64", "3.11.7", "0.3.36", False, "2026-11-20", 0.1)


def category(name: str, speedup: float) -> CategoryResult:
    return CategoryResult(name, speedup, speedup - 0.1, speedup + 0.1, 0.75, 3.5, 1000.0, 8, 8)


@pytest.fixture
def report() -> Report:
    pairs = [
        PairResult(
            "big",
            draft,
            "F16",
            Setting(drafter="lookup", draft_length=5, temperature=temperature),
            [category("chat", chat), category("copying", copying), category("all", 0.5)],
        )
        for draft, temperature, chat, copying in (
            ("small F16", 0.0, 1.5, 1.2),
            ("lookup", 0.8, 0.9, 2.25),
        )
    ]
    return Report(MACHINE, pairs, [Latency("lookup", 200, 30.0, 1.0, 5.0, 280, 17)])


def test_json_carries_target_draft_setting_and_categories(report):
    first = report.as_dict()["pairs"][0]
    assert (first["target"], first["draft"], first["type"]) == ("big", "small F16", "F16")
    assert (first["temperature"], first["draft_length"]) == (0.0, 5)
    assert first["categories"][0] == {
        "name": "chat",
        "speedup": 1.5,
        "low": 1.4,
        "high": 1.6,
        "acceptance": 0.75,
        "tokens_per_forward": 3.5,
        "plain_tokens_per_second": 1000.0,
        "prompts": 8,
        "same_texts": 8,
    }


def test_markdown_names_the_conditions_and_puts_the_worst_category_first(report):
    text = report.as_markdown()
    assert "A processor, 2 physical cores" in text
    assert "2026-11-20" in text
    rows = [line for line in text.splitlines() if line.startswith(("| chat", "| copying", "| all"))]
    assert rows == [
        "| chat | 1.50 (1.40 to 1.60), 75% | 0.90 (0.80 to 1.00), 75% |",
        "| copying | 1.20 (1.10 to 1.30), 75% | 2.25 (2.15 to 2.35), 75% |",
        "| all | 0.50 (0.40 to 0.60), 75% | 0.50 (0.40 to 0.60), 75% |",
    ]


def test_the_share_of_bookkeeping_is_what_the_bare_loop_does_not_need():
    loop = LoopCost("big F16", 128, bare_us=900.0, ours_us=1000.0)
    assert loop.bookkeeping_share == pytest.approx(0.1)
    assert "10.0%" in Report(MACHINE, loop=loop).as_text()
