"""Which files the worker gets to see, and which draft it gets where nobody chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config import SamplingParams, Settings, SpeculativeConfig
from tests.tiny_gguf import write_tiny_gguf
from utils.draft_speeds import recall_speeds
from utils.engine.admission import Admission
from utils.engine.protocol import ChatMessage, DraftChoice, Generate
from utils.errors import ModelLoadError
from utils.performance_monitor import Baseline, GenerationStats


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_gguf(folder / "big.gguf", width=256, feed_forward=1024, layers=4)
    write_tiny_gguf(folder / "small.gguf")
    write_tiny_gguf(folder / "sick.gguf", layers=1, nan=True)
    return folder


@pytest.fixture
def admission(folder: Path, tmp_path: Path) -> Admission:
    return Admission(Settings(model_folders=(folder,), cache_folder=tmp_path))


@pytest.fixture
def make_request() -> Callable[..., Generate]:
    def make(draft: DraftChoice, **wish: object) -> Generate:
        return Generate(
            id="1",
            owner="",
            messages=(ChatMessage(role="user", content="hello"),),
            sampling=SamplingParams(),
            speculative=SpeculativeConfig(**wish),
            draft=draft,
        )

    return make


def answer_stats(*, speedup: float) -> GenerationStats:
    """A long answer that was so much faster than without its draft."""
    return GenerationStats(
        prompt_tokens=10,
        reused_tokens=0,
        completion_tokens=1000,
        prefill_s=0.1,
        ttft_s=0.1,
        decode_s=10 / speedup,
        rounds=1000,
        drafted=0,
        accepted=0,
        accepted_histogram=(),
        baseline=Baseline(100.0, "running", 10),
    )


def test_where_nobody_chooses_the_best_draft_that_works_is_taken(
    admission: Admission, folder: Path
):
    choice = admission.find_draft("auto", "big")
    assert (choice.kind, choice.name) == ("model", "small")
    assert choice.path == str(folder / "small.gguf")
    assert choice.problem == ""


def test_for_the_embedded_target_the_embedded_draft_is_taken(admission: Admission):
    assert admission.find_draft("auto", "embedded").name == "embedded"


@pytest.mark.parametrize("target", ["small", "nobody"])
def test_where_no_model_is_worth_it_lookup_is_taken(admission: Admission, target: str):
    choice = admission.find_draft("auto", target)
    assert (choice.kind, choice.problem) == ("lookup", "")


def test_where_memory_is_short_lookup_is_taken_and_the_missed_draft_named(
    admission: Admission, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("utils.engine.memory.available_bytes", lambda: 1000)
    choice = admission.find_draft("auto", "big")
    assert choice.kind == "lookup"
    assert "does not fit in memory beside the target" in choice.problem


def test_a_draft_that_is_open_already_is_not_found_too_large_for_what_is_left_beside_it(
    admission: Admission, monkeypatch: pytest.MonkeyPatch
):
    assert admission.find_draft("auto", "big").name == "small"
    monkeypatch.setattr("utils.engine.memory.available_bytes", lambda: 1000)
    choice = admission.find_draft("auto", "big")
    assert (choice.name, choice.problem) == ("small", "")


def test_a_new_file_is_tried_for_as_long_as_a_model_may_take_to_load(folder: Path, tmp_path: Path):
    settings = Settings(model_folders=(folder,), cache_folder=tmp_path)
    hasty = Admission(settings.model_copy(update={"load_timeout_s": 0.01}))
    with pytest.raises(ModelLoadError, match=r"did not load and answer within 0\.01 s"):
        hasty.find_target("big")


def test_what_answers_showed_of_a_draft_decides_whether_it_is_taken_again(
    admission: Admission, make_request: Callable[..., Generate]
):
    target, choice = admission.find_target("big"), admission.find_draft("auto", "big")
    assert choice.name == "small"
    admission.note(target, make_request(choice), answer_stats(speedup=0.99))
    assert admission.find_draft("auto", "big").kind == "lookup"


@pytest.mark.parametrize(
    "wish", [{"draft_length": "fixed"}, {"deterministic": True}, {"enabled": False}]
)
def test_an_answer_whose_draft_was_not_free_says_nothing(
    admission: Admission, make_request: Callable[..., Generate], wish: dict[str, object]
):
    target, choice = admission.find_target("big"), admission.find_draft("auto", "big")
    if not wish.get("enabled", True):
        choice = DraftChoice(kind="none")
    admission.note(target, make_request(choice, **wish), answer_stats(speedup=0.99))
    assert recall_speeds(target.speeds) == {}


def test_a_draft_that_was_chosen_is_taken_whatever_its_rank(admission: Admission):
    assert admission.find_draft("small", "big").name == "small"
    assert admission.find_draft("lookup", "big").kind == "lookup"
    assert "no model is called" in admission.find_draft("nobody", "big").problem
