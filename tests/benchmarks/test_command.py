"""The command, on models of a few kilobytes."""

from __future__ import annotations

import json
import os

import pytest

from benchmarks.__main__ import main
from tests.tiny_gguf import write_tiny_gguf


@pytest.fixture
def pair(tmp_path):
    target = write_tiny_gguf(tmp_path / "target.gguf", quantization="F32")
    draft = write_tiny_gguf(tmp_path / "draft.gguf", quantization="F32", noise=0.3)
    return ["--target", str(target), "--draft", str(draft)]


def test_the_pair_is_measured_and_reported_in_three_forms(pair, tmp_path, capsys):
    files = {"--json": tmp_path / "report.json", "--markdown": tmp_path / "report.md"}
    quick = ["--tokens", "6", "--repeats", "1", "--prompts", "1", "--threads", "1", "--busy"]
    outputs = [str(part) for item in files.items() for part in item]
    main([*pair, *quick, *outputs])

    report = json.loads(files["--json"].read_text())
    assert {(pair["draft"], pair["temperature"]) for pair in report["pairs"]} == {
        ("draft F32", 0.0),
        ("draft F32", 0.8),
        ("lookup", 0.0),
        ("lookup", 0.8),
    }
    for measured in report["pairs"]:
        names = [category["name"] for category in measured["categories"]]
        speedups = [category["speedup"] for category in measured["categories"]]
        assert sorted(names[:-1]) == ["chat", "code", "copying", "lists"]
        assert names[-1] == "all"
        assert speedups[:-1] == sorted(speedups[:-1])
        assert all(category["same_texts"] == 1 for category in measured["categories"][:-1])
    assert [latency["drafter"] for latency in report["latencies"]] == [
        "none",
        "draft F32",
        "lookup",
    ]
    assert report["latencies"][0]["prompt_tokens"] <= 200
    assert "| copying |" in files["--markdown"].read_text()
    assert "copying" in capsys.readouterr().out


def test_the_bare_loop_writes_the_same_text(pair, capsys):
    main(["loop", *pair[:2], "--threads", "1", "--context", "512", "--busy"])
    assert "bookkeeping" in capsys.readouterr().out


def test_a_busy_machine_is_refused_with_its_load(pair, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (3.5, 1.0, 1.0))
    with pytest.raises(SystemExit, match=r"load average is 3\.5, over 0\.5"):
        main(pair)
