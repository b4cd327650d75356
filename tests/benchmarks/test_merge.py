"""Figures of several runs in one file."""

from __future__ import annotations

from benchmarks.merge import merged

PAIR = {"target": "big", "draft": "small", "type": "F16", "temperature": 0.0}


def report(**figures):
    return {"machine": {"date": "now"}, "pairs": [{**PAIR, **figures}], "loop": None}


def test_what_a_run_did_not_measure_is_kept_of_the_run_before():
    old = report(adaptive_vs_best_fixed=0.99, adaptive_vs_llama_server=None, categories=[{}])
    new = report(adaptive_vs_best_fixed=None, adaptive_vs_llama_server=1.3, categories=[])
    (pair,) = merged(old, new)["pairs"]
    assert pair == {
        **PAIR,
        "adaptive_vs_best_fixed": 0.99,
        "adaptive_vs_llama_server": 1.3,
        "categories": [{}],
    }


def test_what_a_run_measured_again_replaces_what_was_known():
    (pair,) = merged(report(controller_share=0.5), report(controller_share=0.0))["pairs"]
    assert pair["controller_share"] == 0.0


def test_all_prompts_are_taken_from_among_the_categories_of_older_files():
    chat, everything = {"name": "chat", "speedup": 2.0}, {"name": "all", "speedup": 1.5}
    ways = [{"name": "adaptive", "categories": [chat, everything]}]
    old = report(categories=[chat, everything], ways=ways)
    (pair,) = merged(old, report(categories=[], ways=[]))["pairs"]
    assert (pair["categories"], pair["all"]) == ([chat], everything)
    assert pair["ways"] == [{"name": "adaptive", "categories": [chat], "all": everything}]
    other = report(controller_share=0.1)
    other["pairs"][0]["target"] = "other"
    assert merged(old, other)["pairs"][0]["categories"] == [chat]


def test_other_pairs_and_tables_stay():
    old = {**report(), "loop": {"bare_us": 1}}
    new = report(controller_share=0.1)
    new["pairs"][0]["temperature"] = 0.8
    both = merged(old, new)
    assert [pair["temperature"] for pair in both["pairs"]] == [0.0, 0.8]
    assert both["loop"] == {"bare_us": 1}


def test_what_nobody_measured_stays_null():
    new = report(memory_overhead=None, categories=[])
    assert merged({}, new)["pairs"][0] == {**PAIR, "memory_overhead": None, "categories": []}
