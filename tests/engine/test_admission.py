"""Which files the worker gets to see, and which draft it gets where nobody chooses."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import Settings
from tests.tiny_gguf import write_tiny_gguf
from utils.engine.admission import Admission


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


def test_a_draft_that_was_chosen_is_taken_whatever_its_rank(admission: Admission):
    assert admission.find_draft("small", "big").name == "small"
    assert admission.find_draft("lookup", "big").kind == "lookup"
    assert "no model is called" in admission.find_draft("nobody", "big").problem
