"""Names of files in model folders; those of Ollama are tested with its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.errors import UnknownModelError
from utils.model_names import is_file_name, name_files, name_of_file

TAKEN = ("auto", "embedded", "lookup")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders that both have a `tale`, the second one of our own names besides."""
    for place in ("first/tale", "first/poem", "second/tale", "second/auto", "second/deep/song"):
        path = tmp_path / f"{place}.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return [tmp_path / "first", tmp_path / "second"]


def test_each_file_has_a_name_of_its_own(folders: list[Path]) -> None:
    names = [name for name, _, _ in name_files(folders, TAKEN)]
    assert names == ["poem", "tale", "second/auto", "second/tale"]


@pytest.mark.parametrize(
    ("name", "is_file"),
    [
        ("tale.gguf", True),
        ("/models/tale.GGUF", True),
        ("/models/a:b.gguf", True),
        ("tale", False),
        ("tale:1b", False),
        ("hf.co/me/it:it-Q4_K_M.gguf", False),
        ("hf.co/me/it.gguf", False),
        ("../models/tale.gguf", True),
        ("~/models.d/tale.gguf", True),
    ],
)
def test_a_file_is_told_from_a_model_of_ollama(name: str, is_file: bool) -> None:
    assert is_file_name(name) is is_file


@pytest.mark.parametrize("given", ["", "tale", "tale:1b", "embedded", "auto", "hf.co/a/b:c.gguf"])
def test_what_is_no_name_of_a_file_stays(folders: list[Path], given: str) -> None:
    assert name_of_file(given, folders, TAKEN) == given


def test_a_file_without_a_path_is_the_first_of_that_name(folders: list[Path]) -> None:
    assert name_of_file("tale.gguf", folders, TAKEN) == "tale"
    assert name_of_file("auto.gguf", folders, TAKEN) == "second/auto"


def test_a_path_leads_to_the_very_file(folders: list[Path], monkeypatch, tmp_path: Path) -> None:
    second = folders[1] / "tale.gguf"
    assert name_of_file(str(second), folders, TAKEN) == "second/tale"
    monkeypatch.chdir(tmp_path)
    assert name_of_file("second/tale.gguf", folders, TAKEN) == "second/tale"
    assert name_of_file("first/../second/tale.gguf", folders, TAKEN) == "second/tale"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert name_of_file("~/first/poem.gguf", folders, TAKEN) == "poem"
    (tmp_path / "link").symlink_to(folders[1])
    assert name_of_file("link/tale.gguf", folders, TAKEN) == "second/tale"


def test_a_file_that_is_not_there_yet_stays_as_it_is(folders: list[Path]) -> None:
    for given in ("later.gguf", str(folders[0] / "later.gguf")):
        assert name_of_file(given, folders, TAKEN) == given


@pytest.mark.parametrize("given", ["second/deep/song.gguf", "/x/tale.gguf", "../tale.gguf"])
def test_a_path_to_no_model_folder_is_refused(
    folders: list[Path], monkeypatch, tmp_path: Path, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModelError, match="lies in no model folder; add '/"):
        name_of_file(given, folders, TAKEN)


def test_a_name_that_no_file_can_have_is_no_failure(folders: list[Path]) -> None:
    for given in ("x" * 5000 + ".gguf", "a\0b.gguf"):
        assert name_of_file(given, folders, TAKEN) == given
    with pytest.raises(UnknownModelError):
        name_of_file("a\0b/c.gguf", folders, TAKEN)
