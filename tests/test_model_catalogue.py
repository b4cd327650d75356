"""All models there are: from files, and from what Ollama tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import Settings
from tests.backends.test_router import store_model
from tests.ollama_server import OllamaServer
from tests.tiny_gguf import write_tiny_gguf
from utils.backends.ollama import OllamaClient
from utils.llama.gguf_header import estimate_memory_bytes, read_header
from utils.llama.probe import probe_folder, probe_model
from utils.model_catalogue import ModelCatalogue


@pytest.fixture
async def server():
    async with OllamaServer() as running:
        yield running


@pytest.fixture
def settings(server, tmp_path) -> Settings:
    store, folder = tmp_path / "store", tmp_path / "folder"
    folder.mkdir()
    write_tiny_gguf(folder / "mine.gguf")
    write_tiny_gguf(folder / "sick.gguf", nan=True)
    weights = (folder / "mine.gguf").read_bytes()
    store_model(store, "demo", weights, system="Be brief.", params='{"temperature": 0.5}')
    return Settings(
        _env_file=None,
        model_folders=(folder,),
        ollama_store=store,
        ollama_url=server.url,
        cache_folder=tmp_path / "cache",
    )


@pytest.fixture
async def catalogue(settings):
    ollama = OllamaClient(settings)
    yield ModelCatalogue(settings, ollama)
    await ollama.close()


async def test_all_sources_are_listed_embedded_first(catalogue):
    found = await catalogue.refresh()
    assert [(entry.name, entry.source) for entry in found.entries] == [
        ("embedded", "embedded"),
        ("demo:latest", "ollama"),
        ("demo-draft:latest", "ollama"),
        ("demo-thinker:latest", "ollama"),
        ("mine", "folder"),
        ("sick", "folder"),
    ]
    assert found.ollama_version
    assert catalogue.current is found


async def test_a_model_with_its_file_here_brings_its_defaults(catalogue):
    entry = (await catalogue.refresh()).find("demo")
    assert entry is not None
    assert entry.is_in_ollama
    assert Path(entry.path).parent.name == "blobs"
    assert entry.defaults is not None
    assert entry.defaults.sampling.temperature == 0.5
    assert entry.defaults.system == "Be brief."
    assert "completion" in entry.capabilities


async def test_a_model_that_only_ollama_has_cannot_speculate_and_says_why(catalogue):
    entry = (await catalogue.refresh()).find("demo-draft")
    assert entry is not None
    assert entry.fitness == "unusable"
    assert "its file is not on this machine" in entry.reason
    assert entry.defaults is not None
    assert entry.trained_context == 1024


async def test_verdicts_show_once_a_model_was_tried(catalogue, settings):
    before = await catalogue.refresh()
    assert {before.find(name).fitness for name in ("mine", "sick")} == {"untried"}
    for name in ("mine", "sick"):
        probe_model(Path(before.find(name).path), cache_folder=probe_folder(settings))
    after = await catalogue.refresh()
    assert after.find("mine").fitness == "usable"
    assert after.find("sick").fitness == "unusable"
    assert "invalid numbers" in after.find("sick").reason


async def test_a_file_says_what_memory_it_would_take_with_its_context(catalogue, settings):
    found = await catalogue.refresh()
    mine = found.find("mine")
    header = read_header(Path(mine.path))
    assert mine.needed_bytes == estimate_memory_bytes(header, settings.context_tokens)
    assert found.find("demo-draft").needed_bytes == 0


async def test_without_ollama_the_files_are_listed_with_the_reason(catalogue, server):
    await server.stop()
    found = await catalogue.refresh()
    assert "is not running" in found.ollama_problem
    assert [entry.name for entry in found.entries] == ["embedded", "demo:latest", "mine", "sick"]
    assert not found.find("demo").is_in_ollama


async def test_a_server_that_hangs_keeps_no_file_from_being_listed(catalogue, server, monkeypatch):
    monkeypatch.setattr("utils.model_catalogue.ASK_TIMEOUT_S", 0.3)
    server.faults["ps"] = "silent"
    found = await catalogue.refresh()
    assert "does not answer: restart it" in found.ollama_problem
    assert "mine" in [entry.name for entry in found.entries]


async def test_a_model_that_ollama_will_not_show_is_listed_all_the_same(catalogue, server):
    server.faults["show"] = "status 500"
    assert (await catalogue.refresh()).find("demo-draft").capabilities == ()
    del server.faults["show"]
    assert (await catalogue.refresh()).find("demo-draft").capabilities


async def test_details_are_asked_for_once_and_a_new_catalogue_is_not_read_again(catalogue, server):
    await catalogue.refresh()
    first = await catalogue.refresh(max_age_s=60)
    assert first is catalogue.current
    await catalogue.refresh()
    assert len(server.asked_of("show")) == 3


async def test_what_is_in_the_memory_of_ollama_shows(catalogue, server):
    server.running.add("demo:latest")
    found = await catalogue.refresh()
    assert found.find("demo").running is not None
    assert [model.name for model in found.running] == ["demo:latest"]
