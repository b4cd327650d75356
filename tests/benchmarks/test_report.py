"""The report of known figures: JSON, Markdown, HTML."""

from __future__ import annotations

import json

import pytest

from benchmarks.comparison import Comparison, Setting
from benchmarks.latency import Latency
from benchmarks.loop import LoopCost
from benchmarks.machine import Machine
from benchmarks.page import as_html
from benchmarks.peers import OURS, PeerRates
from benchmarks.report import PairResult, Report
from benchmarks.rig import ADAPTIVE, Way
from benchmarks.upkeep import MemoryUse
from tests.benchmarks.test_comparison import result_of

MACHINE = Machine("A processor", 2, "Linux x86_64", "3.11.7", "0.3.36", False, "2026-11-20", 0.1)
MODEL, LOOKUP = Way("model", 5), Way("lookup", 5)
LOOP = LoopCost("big F16", 128, 950.0, 1000.0, plain_vs_llama_cpp=0.95)


def pair(temperature: float = 0.0, **measured) -> PairResult:
    setting = Setting(ways=(MODEL, ADAPTIVE, LOOKUP), temperature=temperature)
    results = [
        result_of({MODEL: 1.5, LOOKUP: 0.9, ADAPTIVE: 1.8}, "chat"),
        result_of({MODEL: 1.25, LOOKUP: 2.25, ADAPTIVE: 2.5}, "<b>"),
    ]
    return PairResult("big", "small Q8_0", "F16", Comparison(setting, results), **measured)


@pytest.fixture
def peers() -> PeerRates:
    peers = PeerRates(notes=["a <note>"])
    for engine, rates in (
        (OURS, (60.0, 60.0)),
        ("llama-server, plain", (20.0, 20.0)),
        ("llama-server, draft n 3, p 0", (30.0, 50.0)),
    ):
        for category, rate in zip(("chat", "<b>"), rates, strict=True):
            peers.add(engine, category, rate)
    return peers


def test_the_most_that_could_be_had_stands_beside_what_was_reached():
    report = Report(MACHINE, [pair(most={"chat": 2.0, "<b>": 3.0})])
    measured = report.as_dict()["pairs"][0]
    assert measured["adaptive_vs_most"] == pytest.approx(2.15 / 2.5)
    assert measured["most_without_foresight"] == {"chat": 2.0, "<b>": 3.0}
    overview = report.tables()[0].rows
    assert overview[0][-1] == "most without foresight"
    assert [row[-1] for row in overview[1:]] == ["2.00", "3.00", "", "2.50"]


def test_json_has_the_form_that_is_promised_with_null_where_nothing_was_measured():
    report = json.loads(json.dumps(Report(MACHINE, [pair()]).as_dict()))
    measured = report["pairs"][0]
    assert report["machine"]["processor"] == "A processor"
    promised = ("target", "draft", "type", "temperature", "plain_vs_llama_cpp")
    assert [measured[key] for key in promised] == ["big", "small Q8_0", "F16", 0.0, None]
    assert measured["adaptive_vs_best_fixed"] == pytest.approx(2.15 / 1.575)
    assert measured["adaptive_vs_llama_server"] is None
    assert measured["memory_overhead"] is None
    assert measured["controller_share"] is None
    first = measured["categories"][0]
    assert (first["name"], first["speedup"]) == ("chat", pytest.approx(1.8))
    assert set(first) >= {"low", "high", "acceptance", "tokens_per_forward"}
    assert (measured["way"], measured["best_fixed"]) == ("adaptive", "lookup 5")


def test_json_carries_what_was_measured_as_ratios(peers):
    memory = MemoryUse(800, 200, plain_bytes=2000, adaptive_bytes=2150)
    result = pair(loop=LOOP, memory=memory, controller_share=0.02, peers=peers)
    measured = result.as_dict()
    assert measured["plain_vs_llama_cpp"] == pytest.approx(0.95)
    assert measured["memory_overhead"] == pytest.approx(0.15)
    assert measured["controller_share"] == 0.02
    assert measured["adaptive_vs_llama_server"] == pytest.approx(1.5)
    assert measured["peers"]["best_llama_server"] == "llama-server, draft n 3, p 0"


def test_markdown_names_the_conditions_and_puts_the_worst_category_first(peers):
    text = Report(MACHINE, [pair(peers=peers)]).as_markdown()
    assert "A processor, 2 physical cores" in text
    assert "2026-11-20" in text
    rows = [line for line in text.splitlines() if line.startswith(("| chat", "| <b>", "| mean"))]
    assert rows == [
        "| chat | 1.80 (1.80 to 1.80), 75% | 1.50 (1.50 to 1.50), 75% | 0.90 (0.90 to 0.90), 75% |",
        "| <b> | 2.50 (2.50 to 2.50), 75% | 1.25 (1.25 to 1.25), 75% | 2.25 (2.25 to 2.25), 75% |",
        "| mean over categories | 2.15 | 1.38 | 1.57 |",
    ]
    assert "| SpecChat, adaptive | 60 | 60 | 60.0 |" in text


def test_a_pair_compared_with_peers_alone_has_no_table_of_categories(peers):
    alone = PairResult("big", "small", "F16", Comparison(pair().comparison.setting, []))
    alone.peers = peers
    text = Report(MACHINE, [alone]).as_markdown()
    assert "acceptance rate" not in text
    assert "llama-server, plain" in text
    assert alone.as_dict()["categories"] == []


def test_the_page_stands_alone_and_shows_names_as_text(peers):
    html = as_html(Report(MACHINE, [pair(peers=peers)]))
    assert html.startswith("<!doctype html>")
    assert "Plotly.newPlot" in html
    assert "<td>&lt;b&gt;</td>" in html
    assert "a <note>" not in html
    assert "src=" not in html[: html.index("Plotly.newPlot")].replace("src=\\", "")[:2000]


def test_latency_and_the_share_of_bookkeeping_are_tables():
    latency = Latency("lookup", 200, 30.0, 1.0, 5.0, 280, 17)
    text = Report(MACHINE, latencies=[latency], loop=LOOP).as_text()
    assert LOOP.bookkeeping_share == pytest.approx(0.05)
    assert "5.0%" in text
    assert "17 of 280" in text
