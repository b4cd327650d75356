from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from config import SamplingParams, Settings
from tests.chat.stand_in import EMBEDDED_ENTRY, READY, Gate
from utils.backends.modelfile import ModelDefaults
from utils.backends.protocol import ModelChoice
from utils.chat.targets import Loading, Target, TargetLoader, can_answer, default_name
from utils.errors import ModelLoadError, OllamaUnavailableError
from utils.model_catalogue import Catalogue

LLAMA = replace(EMBEDDED_ENTRY, name="llama:3b", source="ollama", is_in_ollama=True)
ODD = replace(LLAMA, name="odd:1b", fitness="unusable", reason="its format is unknown")
BROKEN = replace(ODD, name="broken", source="folder", is_in_ollama=False)


@pytest.fixture
def loader(engine):
    return TargetLoader(engine)


def settle(engine):
    """Wait for all that the loop was given before."""

    async def turn():
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)

    engine.call(turn()).result(10)


def test_ollama_answers_with_what_the_engine_cannot_read_or_as_chosen():
    assert Target("odd:1b", entry=ODD).answers_in_ollama
    assert Target("llama:3b", "ollama", LLAMA).answers_in_ollama
    assert not Target("llama:3b", entry=LLAMA).answers_in_ollama
    assert not Target("broken", entry=BROKEN).answers_in_ollama
    assert Target("broken", entry=BROKEN, deputy="llama:3b").answers_in_ollama
    assert not Target("embedded", entry=EMBEDDED_ENTRY, deputy="llama:3b").answers_in_ollama
    assert not Target("embedded", "ollama", EMBEDDED_ENTRY).answers_in_ollama


def test_a_target_says_why_it_cannot_be_drafted_for():
    assert Target("odd:1b", entry=ODD).problem == "its format is unknown"
    assert "Ollama" in Target("llama:3b", "ollama", LLAMA).problem
    assert Target("llama:3b", entry=LLAMA).problem == ""


def test_the_modelfile_sets_the_defaults_unless_the_settings_name_a_value():
    wanted = SamplingParams(temperature=0.3, top_k=7)
    target = Target("llama:3b", entry=replace(LLAMA, defaults=ModelDefaults(wanted)))
    settings = Settings(sampling=SamplingParams(temperature=1.1))

    sampling = target.sampling(settings)
    assert (sampling.temperature, sampling.top_k) == (1.1, 7)
    assert Target("embedded", entry=EMBEDDED_ENTRY).sampling(settings) == settings.sampling


def test_the_default_is_the_target_of_the_settings_where_it_can_answer():
    settings = Settings(target_model="llama:3b")
    assert default_name(Catalogue((EMBEDDED_ENTRY, LLAMA)), settings) == "llama:3b"
    assert default_name(Catalogue((EMBEDDED_ENTRY,)), settings) == "embedded"
    blind = replace(LLAMA, capabilities=("embedding",))
    assert default_name(Catalogue((EMBEDDED_ENTRY, blind)), settings) == "embedded"


def test_a_model_is_offered_only_where_something_can_answer_with_it():
    assert can_answer(ODD)
    assert not can_answer(BROKEN)
    assert not can_answer(replace(LLAMA, capabilities=("embedding",)))
    assert can_answer(replace(LLAMA, capabilities=("completion", "vision")))


def test_who_stands_in_for_the_target_of_the_settings_leaves_it_open():
    settings = Settings(target_model="llama:3b")
    embedded = Target("embedded", entry=EMBEDDED_ENTRY, is_default=True)
    assert embedded.choice(settings) == ModelChoice("")
    assert replace(embedded, is_default=False).choice(settings) == ModelChoice("embedded")
    assert embedded.choice(Settings()) == ModelChoice("embedded")


def test_the_engine_holds_a_target_by_name():
    assert Target("embedded", entry=EMBEDDED_ENTRY).is_loaded(READY)
    assert not Target("llama:3b", entry=LLAMA).is_loaded(READY)
    assert not Target("embedded", entry=EMBEDDED_ENTRY).is_loaded(replace(READY, live=False))


def test_a_target_is_loaded_and_the_models_are_read_again(engine, loader):
    loader.load("llama:3b")
    settle(engine)

    assert engine.client.loaded == ["llama:3b"]
    assert loader.state == Loading("llama:3b")
    assert engine.catalogue.refreshed == 1


def test_a_target_leaves_the_memory_of_ollama_before_it_is_loaded(engine, loader):
    loader.load("llama:3b", unload="llama:3b")
    settle(engine)
    assert engine.ollama.unloaded == engine.client.loaded == ["llama:3b"]


def test_of_many_targets_only_the_first_and_the_newest_are_loaded(engine, loader):
    gate = Gate()
    engine.client.load_steps = [gate]
    loader.load("first")
    assert gate.reached.wait(10)
    loader.load("second")
    loader.load("third")
    assert loader.state == Loading("first", is_running=True)

    gate.opened.set()
    settle(engine)
    assert engine.client.loaded == ["first", "third"]
    assert loader.state == Loading("third")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModelLoadError("model needs more memory"), "model needs more memory"),
        (ZeroDivisionError("inner"), "see its log"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_target_can_be_loaded(engine, loader, error, told):
    engine.client.load_steps = [error]
    loader.load("llama:3b")
    settle(engine)
    assert told in loader.state.error
    assert not loader.state.is_running

    engine.client.load_steps = []
    loader.load("embedded")
    settle(engine)
    assert loader.state == Loading("embedded")


def test_a_target_that_cannot_be_unloaded_is_not_loaded(engine, loader):
    engine.ollama.error = OllamaUnavailableError("Ollama fell silent")
    loader.load("llama:3b", unload="llama:3b")
    settle(engine)
    assert engine.client.loaded == []
    assert loader.state.error == "Ollama fell silent"
