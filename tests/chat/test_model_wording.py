from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config import SamplingParams, Settings
from tests.chat.stand_in import EMBEDDED_ENTRY, READY
from utils.backends.modelfile import ModelDefaults
from utils.backends.ollama_records import RunningModel
from utils.chat import model_wording
from utils.chat.answer_record import AnswerRecord
from utils.chat.targets import Loading, Target
from utils.engine.health import EngineHealth
from utils.engine.protocol import Stats
from utils.events import Mode
from utils.model_catalogue import Catalogue
from utils.pulls import PullSnapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDLE = Loading()
RUNNING = RunningModel("llama:3b", 2_100_000_000, 0, 4096, NOW + timedelta(minutes=4))
LLAMA = replace(
    EMBEDDED_ENTRY,
    name="llama:3b",
    source="ollama",
    is_in_ollama=True,
    size_bytes=2_019_000_000,
    quantization="Q4_K_M",
    parameters="3.2B",
    trained_context=131_072,
    capabilities=("completion", "tools"),
)
ODD = replace(LLAMA, fitness="unusable", reason="its format is unknown")
PULL = PullSnapshot("llama:3b", "pulling", NOW, "pulling", 500_000_000, 2_000_000_000, 12_000_000.0)


def badge(target, health=READY, answer=None, loading=IDLE, problem=""):
    return model_wording.target_badge(target, health, answer, loading, problem=problem)


def test_a_choice_shows_name_quantisation_and_size():
    assert model_wording.model_label(LLAMA) == "llama:3b · Q4_K_M · 2.0 GB"
    assert model_wording.model_label(EMBEDDED_ENTRY) == "Embedded target · F16 · 23 MB"
    assert model_wording.model_label(replace(LLAMA, quantization="", size_bytes=0)) == "llama:3b"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Target("embedded", entry=EMBEDDED_ENTRY), "Runs in the engine"),
        (Target("llama:3b", entry=ODD), "Cannot speculate: its format is unknown; Ollama answers."),
        (
            Target("llama:3b", entry=ODD, ollama_problem="Ollama is not running: start it"),
            "Ollama could answer, but Ollama is not running: start it.",
        ),
        (Target("llama:3b", "ollama", LLAMA), "Ollama answers, as you chose."),
        (
            Target("llama:3b", "ollama", LLAMA, ollama_problem="Ollama is not running: start it"),
            "You chose Ollama, but Ollama is not running: start it.",
        ),
        (Target("llama:3b", entry=replace(LLAMA, fitness="untried")), "Not tried in the engine"),
        (Target("gone:1b", is_gone=True), "gone:1b is not among the models"),
        (
            Target("mine", entry=replace(ODD, source="folder"), deputy="llama:3b"),
            "Ollama answers with llama:3b.",
        ),
        (Target("early:1b"), "Looking for models"),
        (Target("llama:3b", entry=LLAMA), "This model can call tools"),
    ],
)
def test_under_the_choice_stands_where_it_runs_and_why(target, said):
    assert said in model_wording.target_sentences(target, Settings())


def test_what_the_modelfile_sets_is_told_as_far_as_it_counts():
    wanted = SamplingParams(temperature=0.5, top_k=7, stop=("END",))
    defaults = ModelDefaults(wanted, context_tokens=1024, system="Be kind.", ignored=("seed 'x'",))
    target = Target("llama:3b", entry=replace(LLAMA, defaults=defaults, capabilities=()))
    said = model_wording.target_sentences(target, Settings(sampling={"top_k": 3}))

    assert (
        "Its Modelfile sets temperature 0.5, context 1,024, 1 stop text and a system prompt."
        in (said)
    )
    assert "Left out of it: seed 'x'." in said


def test_a_loaded_target_is_left_to_the_state_of_the_engine():
    assert badge(Target("embedded", entry=EMBEDDED_ENTRY)) is None
    assert badge(Target("embedded", entry=EMBEDDED_ENTRY), EngineHealth(state="failed")) is None


@pytest.mark.parametrize(
    ("target", "health", "loading", "label", "reason"),
    [
        (Target("llama:3b", entry=LLAMA), READY, IDLE, "Not loaded yet", "next question loads"),
        (
            Target("llama:3b", entry=LLAMA),
            READY,
            Loading("llama:3b", is_running=True),
            "Loading",
            "about to be loaded",
        ),
        (
            Target("llama:3b", entry=LLAMA),
            replace(READY, state="loading", ready=False, stage="reading", stage_share=0.45),
            Loading("llama:3b", is_running=True),
            "Loading",
            "llama:3b: reading, 45%",
        ),
        (
            Target("llama:3b", entry=LLAMA),
            READY,
            Loading("llama:3b", error="no memory"),
            "Not loaded",
            "no memory",
        ),
        (Target("llama:3b", entry=ODD), READY, IDLE, "Standard", "answers through Ollama; cannot"),
        (Target("llama:3b", "ollama", LLAMA), READY, IDLE, "Standard", "chosen for this model"),
        (
            Target("llama:3b", entry=ODD, ollama_problem="Ollama is not running"),
            READY,
            IDLE,
            "No answers",
            "Ollama is not running",
        ),
        (
            Target("llama:3b", "ollama", LLAMA, ollama_problem="Ollama is not running"),
            READY,
            IDLE,
            "Standard",
            "the engine is to answer: Ollama is not running",
        ),
        (
            Target("mine", entry=replace(ODD, source="folder"), deputy="llama:3b"),
            READY,
            IDLE,
            "Standard",
            "llama:3b answers through Ollama",
        ),
        (Target("gone:1b", is_gone=True), READY, IDLE, "No answers", "choose another"),
        (
            Target("x", entry=replace(ODD, source="folder")),
            READY,
            IDLE,
            "No answers",
            "its format is unknown",
        ),
    ],
)
def test_the_badge_is_true_for_the_chosen_target(target, health, loading, label, reason):
    shown = badge(target, health, None, loading)
    assert shown is not None
    assert shown.label == label
    assert reason in shown.reason


def test_the_badge_says_why_nothing_can_be_drafted_for_a_loaded_target():
    shown = badge(Target("embedded", entry=EMBEDDED_ENTRY), problem="mamba is a recurrent model")
    assert (shown.label, shown.tone) == ("Standard", "quiet")
    assert "recurrent" in shown.reason


def test_the_badge_of_an_answer_that_ollama_writes_outlives_the_engine(request_):
    record = AnswerRecord(request_)
    record.take(Mode("standard", None, "the engine died", writer="Ollama"))
    target = Target("embedded", entry=EMBEDDED_ENTRY)
    shown = badge(target, EngineHealth(state="failed"), record.snapshot())
    assert (shown.label, shown.reason) == ("Standard", "the engine died")


def test_a_line_of_the_list_says_what_a_model_is():
    assert model_wording.facts(LLAMA) == (
        "Ollama's · Q4_K_M · 2.0 GB · 3.2B parameters · trained on 131,072 tokens · tools"
    )


def test_a_line_of_the_list_says_in_whose_memory_a_model_is():
    assert model_wording.place(LLAMA, READY) == "Not loaded."
    assert model_wording.place(EMBEDDED_ENTRY, READY) == "Loaded in the engine."
    half = replace(RUNNING, gpu_bytes=1_050_000_000)
    said = model_wording.place(replace(EMBEDDED_ENTRY, running=half), READY)
    assert said == "Loaded in the engine and in Ollama's memory (2.1 GB, 50% on the GPU)."


def test_a_line_of_the_list_says_whether_a_model_can_speculate():
    untried = replace(LLAMA, fitness="untried")
    assert model_wording.speculation(LLAMA) == "Can speculate."
    assert model_wording.speculation(ODD) == "Cannot speculate: its format is unknown."
    assert model_wording.speculation(untried).startswith("Not tried yet")
    assert model_wording.speculation(untried, "it took too long") == "It took too long."


@pytest.mark.parametrize(
    ("expires_at", "said"),
    [
        (NOW + timedelta(minutes=4), "leaves in 4 min unless asked"),
        (NOW + timedelta(days=40_000), "stays until it is unloaded"),
        (NOW - timedelta(seconds=1), "leaves now"),
        ((NOW + timedelta(seconds=30)).replace(tzinfo=None), "leaves in 30 s"),
    ],
)
def test_what_is_in_memory_says_how_long_it_stays(expires_at, said):
    shown = model_wording.in_memory(replace(RUNNING, expires_at=expires_at), NOW)
    assert shown.startswith("2.1 GB, on the processor · context 4,096 · ")
    assert said in shown


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "0.5 of 2.0 GB · 12 MB/s · 2 min left"),
        ({"bytes_per_s": 0.0}, "0.5 of 2.0 GB"),
        ({"total_bytes": 0, "status": "pulling manifest"}, "pulling manifest"),
        ({"total_bytes": 0, "status": ""}, "asking for it"),
        (
            {"done_bytes": 2_000_000_000, "status": "verifying sha256 digest"},
            "2.0 of 2.0 GB · verifying sha256 digest",
        ),
        ({"state": "waiting"}, "waits until another one has ended"),
    ],
)
def test_a_pull_says_bytes_speed_and_time_left(changes, said):
    assert model_wording.pull_figures(replace(PULL, **changes)) == said


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1 s"), (90, "2 min"), (5400, "1.5 h")])
def test_a_time_to_wait_is_told_in_the_unit_that_reads_best(seconds, said):
    assert model_wording.time_left(seconds) == said


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("/people/ann/.ollama/models", "~/.ollama/models"),
        ("/people/ann", "~"),
        ("/people/anna/models", "/people/anna/models"),
        ("/usr/share/ollama", "/usr/share/ollama"),
    ],
)
def test_a_folder_is_told_from_home_on(monkeypatch, folder, said):
    monkeypatch.setenv("HOME", "/people/ann")
    assert model_wording.folder_name(Path(folder)) == said


def test_ollama_is_told_by_its_version_or_by_what_is_wrong():
    assert model_wording.ollama_badge(Catalogue()).tone == "busy"
    told = Catalogue(ollama_version="0.31.1", read_at=1.0)
    assert model_wording.ollama_badge(told).label == "Ollama 0.31.1"
    down = Catalogue(ollama_problem="Ollama is not running: start it", read_at=1.0)
    assert model_wording.ollama_badge(down).reason == "Ollama is not running: start it."


def _drafting_with(*drafts):
    """The engine with drafts open, of which names and paths are told."""
    stats = Stats(
        id="",
        rss_bytes=1,
        cached_tokens=0,
        target=READY.model,
        answers=1,
        open_drafts=tuple(replace(READY.model, name=name, path=path) for name, path in drafts),
    )
    return replace(READY, stats=stats)


def test_only_what_nobody_uses_may_be_deleted():
    def problem(entry=LLAMA, health=READY, answering=(), chosen="embedded"):
        return model_wording.deletion_problem(entry, health, answering, chosen)

    loaded = replace(READY, model=replace(READY.model, name="llama:3b"))
    assert problem() == ""
    assert "writing an answer" in problem(answering=("llama:3b",))
    assert "the engine has llama:3b loaded" in problem(health=loaded)
    another, by_name, by_path = ("a", "/a.gguf"), (LLAMA.name, "/b.gguf"), ("b", LLAMA.path)
    for drafts in ((by_name,), (by_path,), (another, by_name)):
        drafting = _drafting_with(*drafts)
        assert "has llama:3b open as a draft" in problem(health=drafting)
        assert problem(health=replace(drafting, live=False)) == ""
    assert problem(health=_drafting_with(another)) == ""
    assert "model of your chat" in problem(chosen="llama:3b")
    assert "only Ollama's" in problem(entry=replace(LLAMA, is_in_ollama=False))
