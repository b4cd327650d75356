"""What is kept holds for one build of llama.cpp and one number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import ModelOptions
from utils.llama import probe
from utils.llama.build import installed_build
from utils.llama.probe import entry_of, timed_entry_of


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of libraries that are taken in place of those installed."""
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / "libggml-cpu.so").write_bytes(bytes(100))
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(folder))
    installed_build.cache_clear()
    yield folder
    installed_build.cache_clear()


def test_the_build_is_told_by_the_version_and_the_libraries() -> None:
    version, *libraries = installed_build()
    assert version[0].isdigit()
    assert any(name.startswith("libllama") for name in libraries)


def test_the_same_version_built_for_another_processor_is_another_build(
    libraries: Path, tmp_path: Path
) -> None:
    before, entry = installed_build(), entry_of(tmp_path / "x.gguf", tmp_path)
    (libraries / "libggml-cpu.so").write_bytes(bytes(101))
    installed_build.cache_clear()
    assert installed_build() != before
    assert installed_build()[0] == before[0]
    assert entry_of(tmp_path / "x.gguf", tmp_path) != entry


def test_times_depend_on_options_and_on_the_cores_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entries() -> set[Path]:
        return {
            timed_entry_of(tmp_path / "x.gguf", tmp_path, ModelOptions(**changes), *also)
            for changes in ({}, {"threads": 1}, {"batch_threads": 1})
            for also in ((), ("draft",))
        }

    monkeypatch.setattr(probe, "physical_cores", lambda: 2)
    with_two = entries()
    assert with_two == entries()
    monkeypatch.setattr(probe, "physical_cores", lambda: 4)
    assert len(with_two | entries()) == 12
