"""The report of known figures: JSON, Markdown, HTML."""

from __future__ import annotations

import json
from dataclasses import replace

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
# What whoever reads the file was told to find in it, and what stands there beside.
PROMISED_OF_PAIR = {
    *("target", "draft", "type", "temperature", "plain_vs_llama_cpp", "adaptive_vs_best_fixed"),
    *("adaptive_vs_llama_server", "memory_overhead", "controller_share", "categories"),
}
PROMISED_OF_CATEGORY = {"name", "speedup", "low", "high", "acceptance", "tokens_per_forward"}
ADDED_TO_PAIR = {
    *("all", "way", "ways", "best_fixed", "fixed_lengths", "memory", "peers", "costs"),
    *("other_load", "adaptive_vs_most", "most_without_foresight"),
}
ADDED_TO_CATEGORY = {"plain_tokens_per_second", "prompts", "same_texts"}
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


def test_what_could_be_had_stands_beside_what_was_reached_and_is_called_no_limit():
    report = Report(MACHINE, [pair(most={"chat": 2.0, "<b>": 3.0})])
    measured = report.as_dict()["pairs"][0]
    assert measured["adaptive_vs_most"] == pytest.approx(2.15 / 2.5)
    assert measured["most_without_foresight"] == {"chat": 2.0, "<b>": 3.0}
    overview = report.tables()[0].rows
    assert overview[0][-1] == "without foresight, at median costs"
    assert [row[-1] for row in overview[1:]] == ["2.00", "3.00", "", "2.50"]
    assert report.conditions.endswith("no limit, as either side varies.")
    assert "no limit" not in Report(MACHINE, [pair()]).conditions


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
    assert (measured["way"], measured["best_fixed"]) == ("adaptive", "lookup 5")
    assert measured["fixed_lengths"] == [5]


def test_json_has_the_keys_that_are_promised_and_no_category_that_is_none():
    report = json.loads(json.dumps(Report(MACHINE, [pair()]).as_dict()))
    (measured,) = report["pairs"]
    assert set(report) == {"machine", "pairs"} | {"latencies", "loop"}
    assert set(measured) == PROMISED_OF_PAIR | ADDED_TO_PAIR
    assert [category["name"] for category in measured["categories"]] == ["chat", "<b>"]
    assert [set(category) for category in measured["categories"]] == 2 * [
        PROMISED_OF_CATEGORY | ADDED_TO_CATEGORY
    ]
    assert measured["all"]["speedup"] == pytest.approx(2.15)
    for way in measured["ways"]:
        assert sorted(category["name"] for category in way["categories"]) == ["<b>", "chat"]
    rates = [category["speedup"] for category in measured["categories"]]
    assert measured["ways"][0]["mean"] == pytest.approx(sum(rates) / len(rates))


def test_json_carries_what_was_measured_as_ratios(peers):
    memory = MemoryUse(800, 200, plain_bytes=1100, adaptive_bytes=1150)
    result = pair(loop=LOOP, memory=memory, controller_share=0.02, peers=peers)
    measured = result.as_dict()
    assert measured["plain_vs_llama_cpp"] == pytest.approx(0.95)
    assert measured["memory_overhead"] == pytest.approx(0.15)
    assert measured["memory"]["plain_overhead"] == pytest.approx(0.1)
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


def test_figures_name_the_best_fixed_length_and_those_it_is_the_best_of():
    text = Report(MACHINE, [pair()]).as_markdown()
    assert "| lookup 5 (best of model 5; lookup 5) |" in text


def test_what_was_left_on_the_processor_is_a_condition_and_has_no_ratio(peers):
    peers.left_on_processor = [name for name in peers.rates if name != OURS]
    on_gpu = replace(MACHINE, gpu_build=True, gpu_backend="cuda")
    report = Report(on_gpu, [pair(peers=peers), pair(0.8, peers=peers)])
    measured = report.as_dict()["pairs"][0]
    assert measured["adaptive_vs_llama_server"] is None
    assert set(measured["peers"]["adaptive_vs"].values()) == {None}
    for text in (report.as_markdown(), report.as_text(), as_html(report)):
        assert "0.3.36 on a GPU (cuda)" in text
        assert text.count("on the processor: llama-server; no ratio to these") == 1
    assert "0.3.36 on the processor" in Report(MACHINE, [pair()]).conditions


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
