"""What the gate lets pass, on known figures, and what it says of a pair that it measured."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks import gate
from benchmarks.__main__ import main
from benchmarks.comparison import ALL, CategoryResult
from benchmarks.gate import loop_problems, speed_problems, yield_problems
from benchmarks.loop import LoopCost
from tests.tiny_gguf import write_tiny_gguf

CHAT = CategoryResult("chat", 1.5, 1.4, 1.6, 0.75, 3.5, 1000.0, 8, 8)
EVERYTHING = replace(CHAT, name=ALL)
PASSED = "gate: drafting gains, no category is slower, and plain decoding keeps up\n"
LIMITS = ("LEAST_PLAIN", "LEAST_SPEEDUP", "LEAST_TOKENS_PER_FORWARD")
BUSY, QUIET = 1.5, 0.0


@pytest.fixture
def pair(tmp_path):
    target = write_tiny_gguf(tmp_path / "target.gguf", quantization="F32")
    suite = tmp_path / "suite.json"
    suite.write_text(json.dumps({"chat": ["hello"]}))
    models = ["--target", str(target), "--draft", str(target)]
    return [*models, "--suite", str(suite), "--threads", "1"]


@pytest.fixture
def judge(pair, monkeypatch):
    """Let the gate measure a pair of a few kilobytes, by other limits than its own."""
    monkeypatch.setattr(gate, "LOOP_RUNS", 1)
    monkeypatch.setattr("benchmarks.__main__.watch_load", lambda: QUIET)
    monkeypatch.setattr("benchmarks.__main__.LoadWatch.others", lambda _watch: QUIET)

    def run(**limits: float) -> None:
        for name in LIMITS:
            monkeypatch.setattr(gate, name, limits.get(name, 0.0))
        main(["gate", *pair])

    return run


def test_a_gain_passes():
    assert speed_problems([CHAT]) == []
    assert yield_problems(EVERYTHING) == []


def test_a_category_that_is_surely_slower_does_not_pass():
    slow = replace(CHAT, speedup=0.93, low=0.9, high=0.96)
    problems = speed_problems([slow, replace(CHAT, name="code")])
    assert problems == ["chat: 0.93 of plain speed, at most 0.96, less than 0.97"]


def test_a_category_that_may_be_as_fast_passes():
    assert speed_problems([replace(CHAT, speedup=0.95, low=0.9, high=0.98)]) == []


def test_drafting_that_yields_nothing_does_not_pass():
    assert "1.00 tokens" in yield_problems(replace(EVERYTHING, tokens_per_forward=1.0))[0]


def test_plain_decoding_must_keep_up_with_a_bare_loop():
    assert loop_problems(LoopCost("x", 9, 960, 1000, plain_vs_llama_cpp=0.96)) == []
    assert "0.940" in loop_problems(LoopCost("x", 9, 940, 1000, plain_vs_llama_cpp=0.94))[0]


@pytest.mark.no_cover
class TestOfAMeasuredPair:
    def test_a_pair_that_keeps_all_limits_passes(self, judge, capsys):
        judge()
        assert capsys.readouterr().out == PASSED

    @pytest.mark.parametrize(
        ("limit", "reason"),
        [
            ("LEAST_PLAIN", r"plain decoding reaches \d\.\d+ of a bare llama_decode loop"),
            ("LEAST_SPEEDUP", r"temperature 0, chat: \d+\.\d\d of plain speed"),
            ("LEAST_TOKENS_PER_FORWARD", r"a pass of the target yields \d+\.\d\d tokens"),
        ],
    )
    def test_each_limit_that_is_missed_is_named_and_fails(self, judge, capsys, limit, reason):
        with pytest.raises(SystemExit, match=rf"^gate: (?s:.*){reason}") as refusal:
            judge(**{limit: 1000.0})
        problems = str(refusal.value).splitlines()
        assert len(problems) == (1 if limit == "LEAST_PLAIN" else 2)
        assert capsys.readouterr().out == ""

    def test_a_limit_that_is_missed_ends_the_command_with_1(self, pair):
        limits = "from benchmarks import gate; gate.LEAST_PLAIN, gate.LOOP_RUNS = 1000, 1"
        command = f"{limits}; from benchmarks.__main__ import main; main()"
        ended = subprocess.run(
            [sys.executable, "-c", command, "gate", *pair, "--busy"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 1
        assert "gate: " in ended.stderr
        assert "of a bare llama_decode loop, less than 1000" in ended.stderr

    def test_a_machine_that_is_busy_beforehand_is_not_judged(self, judge, capsys, monkeypatch):
        monkeypatch.setattr("benchmarks.__main__.watch_load", lambda: BUSY)
        judge(LEAST_PLAIN=1000.0)
        told = capsys.readouterr().out
        assert told.startswith("gate: nothing was judged, the machine is busy: others keep 1.5")

    def test_what_is_missed_while_others_work_is_not_judged(self, judge, capsys, monkeypatch):
        monkeypatch.setattr("benchmarks.__main__.LoadWatch.others", lambda _watch: BUSY)
        judge(LEAST_PLAIN=1000.0)
        assert capsys.readouterr().out.startswith("gate: nothing was judged, the machine is busy")

    def test_limits_that_are_kept_while_others_work_are_a_pass(self, judge, capsys, monkeypatch):
        monkeypatch.setattr("benchmarks.__main__.LoadWatch.others", lambda _watch: BUSY)
        judge()
        assert capsys.readouterr().out == PASSED
