"""What README promises is true of the project it is in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from config import ROOT
from tests.readme_parts import EXAMPLE, README, example_file, with_parts

BINARY_SUFFIXES = {".gguf", ".png"}
TRACKED_DOTS = {".ci", ".github", ".streamlit", ".env.example", ".gitignore", ".dockerignore"}
GENERATED = {"__pycache__", "results", "htmlcov"}
REGENERATE = "run: python -m tests.readme_parts"
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:wor[k]|roo[t]|tm[p]|home/\w+)/")
# A percent sign apart from its number, which is no remainder and no end of a template's block.
LOOSE_PERCENT = re.compile(r"(?<!\$)[\d}][ \u202f]%(?! \d|\})")
REGISTRY = re.compile(r"-inde[x]-url|pypi\.or[g]/simple|files\.pythonhoste[d]|find-link[s]")


def _is_tracked(name: str) -> bool:
    return name in TRACKED_DOTS or not (name.startswith(".") or name in GENERATED)


def _text_files() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = filter(_is_tracked, folders)
        for name in filter(_is_tracked, names):
            if Path(name).suffix not in BINARY_SUFFIXES:
                yield Path(folder, name)


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in _text_files()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if pattern.search(line)
    ]


def _command(name: str) -> str:
    found = re.search(rf"<!-- command: {name} -->\n```sh\n(.+)\n```\n", README.read_text("utf-8"))
    assert found, f"no command {name!r} in README"
    return found[1]


def test_settings_and_map_in_the_readme_are_those_of_the_code():
    text = README.read_text(encoding="utf-8")
    assert text == with_parts(text), REGENERATE
    assert "SPECCHAT_SPECULATIVE__ENABLED" in text
    assert "utils/speculative_decoding.py" in text


def test_the_example_file_lists_the_settings_as_they_are():
    assert EXAMPLE.read_text(encoding="utf-8") == example_file(), REGENERATE


def test_every_file_the_readme_links_exists():
    targets = LINK.findall(README.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_the_first_command_installs_and_starts_and_the_second_tests():
    assert _command("start").endswith("&& .venv/bin/streamlit run app.py")
    assert "-r requirements.txt" in _command("start")
    assert _command("tests").endswith("&& .venv/bin/pytest")
    assert "-r requirements-dev.txt" in _command("tests")


def test_every_requirement_is_pinned():
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        loose = [line for line in lines if not re.fullmatch(r"#.*|-r \S+|[\w.-]+==[\w.]+", line)]
        assert loose == []


def test_no_file_names_a_place_of_one_machine():
    assert _lines_with(MACHINE_PATH) == []


def test_no_file_names_a_package_registry():
    assert _lines_with(REGISTRY) == []


def test_percent_signs_stand_at_their_numbers_everywhere():
    assert _lines_with(LOOSE_PERCENT) == []
