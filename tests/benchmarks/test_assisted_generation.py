"""Transformers as a peer: what needs no torch, and with torch that it says what we say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import assisted_generation
from benchmarks.assisted_generation import (
    ASSISTANCES,
    Generation,
    choosing,
    missing,
    place,
    same_tokens,
    too_large,
    transformers_engines,
)
from benchmarks.comparison import Setting
from benchmarks.peers import OURS, measure_peers
from benchmarks.rig import PLAIN, Rig
from config import ROOT, ModelOptions, SamplingParams
from tests.tiny_gguf import write_tiny_gguf, write_tiny_pair
from utils.prompt_suite import PROMPTS, load_suite

OPTIONS = ModelOptions(context_tokens=512, threads=1)
GREEDY = SamplingParams(temperature=0, max_tokens=48, seed=1)


@pytest.fixture
def tiny(tmp_path):
    with Rig(*write_tiny_pair(tmp_path, quantization="F32"), OPTIONS) as rig:
        yield rig


@pytest.fixture
def torch():
    # What others warn of when they are imported is theirs.
    pytest.importorskip("torch", reason="torch is not installed", exc_type=ImportError)
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(assisted_generation, "NEEDED", ("torch_of_nobody", "gguf"))


class Timed(Generation):
    """Reads the prompt in two seconds, and answers in five more."""

    def __init__(self, monkeypatch) -> None:
        super().__init__("timed", None, [])
        self.now_s = 0.0
        monkeypatch.setattr(assisted_generation, "perf_counter", lambda: self.now_s)

    def _generate(self, prompt, sampling, **assistant):
        self.now_s += 2 if sampling.max_tokens == 1 else 7
        return tuple(range(sampling.max_tokens))


def test_a_missing_package_is_named(without_torch):
    assert missing() == "torch_of_nobody not installed"


def test_without_torch_the_other_peers_are_measured_and_the_reason_is_told(tiny, without_torch):
    setting = Setting(ways=(), temperature=0.0, max_tokens=6, repeats=1)
    suite = {"chat": [("hello",)]}
    found = measure_peers(tiny, suite, setting, program=Path("none"), settings=())
    assert found.mean(OURS) > 0
    assert found.notes == [
        "assisted generation was not measured: torch_of_nobody not installed",
    ]


def test_models_larger_than_memory_are_not_loaded(tiny):
    parameters = tiny.target.header.parameters + tiny.draft.header.parameters
    assert "of memory" in too_large(tiny, 8 * parameters)
    assert not too_large(tiny, 8 * parameters + 1)
    assert not too_large(tiny, None)


def test_the_first_token_is_not_counted(monkeypatch):
    assert Timed(monkeypatch).tokens_per_second([1], GREEDY) == pytest.approx(47 / 5)


def test_an_answer_of_one_token_says_nothing(monkeypatch):
    one = GREEDY.model_copy(update={"max_tokens": 1})
    assert Timed(monkeypatch).tokens_per_second([1], one) == 0


def test_transformers_chooses_as_we_do():
    assert choosing(GREEDY) == {"do_sample": False}
    drawn = choosing(SamplingParams(temperature=0.8, top_k=7, top_p=0.9))
    assert (drawn["temperature"], drawn["top_k"], drawn["top_p"]) == (0.8, 7, 0.9)
    assert drawn["min_p"] is None


@pytest.mark.parametrize(
    ("has_gpu", "cuda", "mps", "expected"),
    [
        (False, True, True, "cpu"),
        (True, True, False, "cuda"),
        (True, False, True, "mps"),
        (True, False, False, "cpu"),
    ],
)
def test_transformers_computes_on_a_gpu_where_we_do(monkeypatch, has_gpu, cuda, mps, expected):
    monkeypatch.setattr(assisted_generation, "has_gpu", lambda: has_gpu)
    has = {True: SimpleNamespace(is_available=lambda: True)}
    has[False] = SimpleNamespace(is_available=lambda: False)
    torch = SimpleNamespace(cuda=has[cuda], backends=SimpleNamespace(mps=has[mps]))
    assert place(torch) == expected


def test_where_it_computes_is_that_of_its_model():
    def on(kind: str) -> Generation:
        return Generation("x", SimpleNamespace(device=SimpleNamespace(type=kind)), [])

    assert on("cuda").on_gpu
    assert not on("cpu").on_gpu


def test_answers_are_compared_up_to_where_they_part():
    assert same_tokens([1, 2, 3], [1, 2, 4, 5]) == 2
    assert same_tokens([1], []) == 0


@pytest.mark.usefixtures("torch")
@pytest.mark.filterwarnings("default")
class TestWithTorch:
    def test_it_writes_what_we_write_alone_and_assisted(self, monkeypatch):
        monkeypatch.setattr(assisted_generation, "NUMBERS", ("float32",))
        models = ROOT / "models"
        with Rig(models / "demo-target.gguf", models / "demo-draft.gguf", OPTIONS) as rig:
            engines, notes = transformers_engines(rig)
            assert len(engines) == 1 + len(ASSISTANCES)
            assert "32 of 32 greedy tokens" in notes[0]
            for prompts in load_suite(PROMPTS, limit=1).values():
                prompt = rig.encode(*prompts[0])
                rig.forget()
                ours = rig.answer(prompt, GREEDY, PLAIN).token_ids
                assert {engine.answer(prompt, GREEDY) for engine in engines} == {ours}

    def test_its_rates_stand_beside_ours(self, tiny):
        setting = Setting(ways=(), temperature=0.8, max_tokens=6, repeats=1)
        suite = {"chat": [("hello",)]}
        found = measure_peers(tiny, suite, setting, program=Path("none"), settings=())
        names = [name for name in found.rates if name.startswith("Transformers ")]
        assert len(names) == 1 + len(ASSISTANCES)
        assert all(found.mean(name) > 0 for name in names)

    def test_a_file_that_it_cannot_read_is_told(self, tmp_path):
        target = write_tiny_gguf(tmp_path / "odd.gguf", metadata={"llama.vocab_size": 999})
        with Rig(target, None, OPTIONS) as rig:
            engines, notes = transformers_engines(rig)
        assert engines == []
        assert "was not measured: Transformers ended with" in notes[0]

    def test_a_draft_of_another_vocabulary_leaves_it_plain(self, tmp_path):
        target = write_tiny_gguf(tmp_path / "target.gguf", quantization="F32")
        draft = write_tiny_gguf(tmp_path / "draft.gguf", quantization="F32", vocabulary_size=400)
        with Rig(target, draft, OPTIONS) as rig:
            engines, notes = transformers_engines(rig)
        assert len(engines) == 1
        assert "another vocabulary" in notes[-1]
