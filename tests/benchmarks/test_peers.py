"""Other engines: how they are asked, counted and compared; none is started here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.comparison import Setting
from benchmarks.llama_server import (
    LlamaServer,
    ServerSetting,
    arguments,
    grid,
    rate_of,
    request,
)
from benchmarks.peers import OURS, PeerRates, ask_all, left_on_processor
from config import SamplingParams


class Engine:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        self.on_gpu = False

    def tokens_per_second(self, prompt, sampling):
        self.log.append(self.name)
        return float(len(self.log))


class Rig:
    """As much of a rig as asking takes."""

    def begin_user(self):
        pass

    def encode(self, *turns):
        return [1, 2, 3]


def test_engines_take_turns_on_every_prompt():
    log: list[str] = []
    result = PeerRates()
    setting = Setting(ways=(), temperature=0.0, repeats=2)
    engines = [Engine("a", log), Engine("b", log)]
    ask_all(engines, Rig(), {"chat": [("x",)]}, setting, result, lambda _line: None)
    assert log == ["a", "b", "b", "a"] * 2
    assert result.category("a", "chat") == (1 + 4 + 5 + 8) / 4


def test_a_peer_is_compared_at_its_best_setting_by_the_mean_over_categories():
    peers = PeerRates()
    for category, ours, low, high in (("chat", 40, 30, 10), ("copying", 80, 20, 50)):
        peers.add(OURS, category, ours)
        peers.add("llama-server, draft n 3, p 0", category, low)
        peers.add("llama-server, draft n 7, p 0", category, high)
        peers.add("another", category, 1000)
    assert peers.best("llama-server") == "llama-server, draft n 7, p 0"
    assert peers.adaptive_vs_llama_server == pytest.approx(60 / 30)


def test_without_a_peer_there_is_no_ratio():
    peers = PeerRates()
    peers.add(OURS, "chat", 40)
    assert peers.adaptive_vs_llama_server is None


def test_on_a_gpu_there_is_no_ratio_to_what_was_left_on_the_processor():
    peers = PeerRates()
    for name, rate in ((OURS, 900.0), ("llama-server, plain", 300.0), ("Transformers", 30.0)):
        peers.add(name, "chat", rate)
    engines = [Engine(name, []) for name in peers.rates]
    assert left_on_processor(engines) == []
    engines[0].on_gpu = engines[1].on_gpu = True
    peers.left_on_processor = left_on_processor(engines)
    assert peers.left_on_processor == ["Transformers"]
    assert peers.adaptive_vs_llama_server == pytest.approx(3)
    assert peers.as_dict()["adaptive_vs"]["Transformers"] is None
    assert "but on the processor: Transformers; no ratio" in peers.conditions
    engines[1].on_gpu = False
    peers.left_on_processor = left_on_processor(engines)
    assert peers.adaptive_vs_llama_server is None


def test_on_a_gpu_a_server_gets_all_layers_of_both_models_there():
    (draft_setting,) = grid(with_draft=True, is_small=True)[1:2]
    models = (Path("target.gguf"), Path("draft.gguf"))
    there = arguments(draft_setting, *models, on_gpu=True)
    here = arguments(draft_setting, *models, on_gpu=False)
    told = [following(there, word) for word in ("-ngl", "-ngld", "--flash-attn")]
    assert told == ["999", "999", "auto"]
    assert following(here, "--flash-attn") == "off"
    assert not {"-ngl", "-ngld"} & {*here}
    alone = arguments(ServerSetting("plain"), *models, on_gpu=True)
    assert "-ngl" in alone
    assert not {"-md", "-ngld"} & {*alone}


def following(words: list[str], word: str) -> str:
    """What stands behind a word of a command."""
    return words[words.index(word) + 1]


def test_the_first_token_of_a_server_is_not_counted():
    assert rate_of({"timings": {"predicted_n": 11, "predicted_ms": 500.0}}) == pytest.approx(20)
    assert rate_of({"timings": {"predicted_n": 1, "predicted_ms": 0.0}}) == 0


def test_a_server_samples_as_we_do_and_keeps_nothing():
    sampling = SamplingParams(temperature=0.8, max_tokens=9, seed=1)
    body = request([5, 6], sampling)
    assert (body["prompt"], body["n_predict"], body["cache_prompt"]) == ([5, 6], 9, False)
    assert (body["temperature"], body["top_k"], body["top_p"], body["min_p"]) == (0.8, 40, 0.95, 0)


def test_the_grid_holds_the_settings_that_people_tune():
    names = [setting.name for setting in grid(with_draft=True, is_small=False)]
    assert len(set(names)) == len(names)
    assert names[0] == "plain"
    for length in (3, 5, 7, 10, 14):
        assert {f"draft n {length}, p 0", f"draft n {length}, p 0.75"} <= set(names)
    assert any(name.startswith("ngram") for name in names)
    alone = [setting.name for setting in grid(with_draft=False, is_small=False)]
    assert not [name for name in alone if name.startswith("draft")]


def test_a_server_that_ends_at_its_start_is_told_with_its_last_words():
    with pytest.raises(RuntimeError, match="ended at its start"):
        LlamaServer(
            Path(sys.executable),
            ServerSetting("plain"),
            target=Path("none.gguf"),
            draft=None,
            threads=1,
            context_tokens=64,
        )
