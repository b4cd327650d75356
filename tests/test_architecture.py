"""Rooms and layers: imports point down only, and each foreign library has one room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import ROOT

LAYERS = (
    "config utils.errors utils.model_names utils.server_address utils.settings_reference",
    "utils.events utils.model_session utils.performance_monitor utils.sampling"
    " utils.truncation utils.token_validator utils.draft_length utils.text_stream utils.reasoning"
    " utils.acceptance utils.cost_table utils.constraint utils.grammar utils.vocabulary_map"
    " utils.intervals utils.sizes utils.prompt_suite utils.round_figures",
    "utils.drafters utils.llama utils.storage",
    "utils.speculative_decoding utils.draft_models utils.draft_ranking utils.engine utils.backends"
    " utils.draft_pairs utils.model_store utils.model_catalogue utils.pulls utils.startup"
    " utils.draft_suggestions utils.draft_estimates utils.draft_speeds",
    "utils.chat utils.experiments utils.advisor",
    "utils.charts api",
    "app pages",
)
RANK = {room: rank for rank, layer in enumerate(LAYERS) for room in layer.split()}
ROOMS_OF = {
    "streamlit": ("app", "pages"),
    "starlette": ("app", "api"),
    "fastapi": ("app", "api"),
    "llama_cpp": ("utils.llama",),
    "jinja2": ("utils.llama",),
    "plotly": ("utils.charts",),
    "ollama": ("utils.backends.ollama",),
}
NEVER = ("", "pickle", "tests", "benchmarks", "models")
MODULES = sorted(
    [*ROOT.glob("*.py"), *(f for d in ("api", "pages", "utils") for f in (ROOT / d).rglob("*.py"))]
)
LONGEST = 320


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _room(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "utils" else parts[0]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names
            )


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_down_and_stay_in_their_rooms(path):
    module = _name(path)
    if module == "utils":
        return
    for imported in _imports(path):
        top = imported.split(".")[0]
        assert top not in NEVER, f"{module} imports {imported}"
        if top in ROOMS_OF:
            homes = ROOMS_OF[top]
            assert any(f"{module}.".startswith(f"{home}.") for home in homes), (
                f"{module}: {imported}"
            )
        elif _room(imported) in RANK:
            assert RANK[_room(imported)] <= RANK[_room(module)], f"{module} imports {imported}"


def test_every_room_has_a_layer():
    assert {_room(_name(path)) for path in MODULES} - {"utils"} <= set(RANK)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_fits_in_one_room(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST
