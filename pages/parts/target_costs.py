"""What the engine knows of a target: what its passes cost, and the memory it takes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import streamlit as st

from config import get_settings
from utils.advisor.case import Machine
from utils.charts.performance import CostCurve
from utils.chat.snapshots import JobSnapshot
from utils.cost_table import CostTable
from utils.draft_models import find_target, target_options
from utils.draft_suggestions import suggest_draft
from utils.engine import memory, runtime
from utils.engine.calibration import costs_file, recall
from utils.engine.figures import DraftFigures, PassCosts
from utils.engine.protocol import Stats
from utils.errors import SpecChatError

MAX_WIDTH = 17


def engine_stats(model: str) -> Stats | None:
    """Return the engine in numbers, where it holds that model."""
    health = runtime.get_engine().client.health
    is_held = health.live and health.model is not None and health.model.name == model
    return health.stats if is_held else None


def draft_figures(model: str) -> tuple[DraftFigures, ...]:
    """Return what the engine expects of each way to draft for a model that it holds."""
    stats = engine_stats(model)
    return stats.drafts if stats else ()


def cost_curves(model: str) -> tuple[CostCurve, ...]:
    """Return what passes cost by depth: as the engine has it, or as kept of the last time."""
    stats = engine_stats(model)
    if stats is None or not stats.passes:
        return _kept_curves(model)
    return tuple(
        # At the pace of the moment, as the passes of answers are.
        CostCurve(costs.depth, tuple((n, stats.pace * s) for n, s in _by_width(costs)))
        for costs in stats.passes
    )


def memory_parts(model: str) -> list[tuple[str, int]]:
    """Return what takes the memory of the engine, and how much, while it holds that model."""
    stats = engine_stats(model)
    if stats is None:
        return []
    parts = [
        ("Target", stats.target_bytes),
        ("Draft", stats.draft_bytes),
        ("Context", stats.cache_bytes),
    ]
    known = sum(size_bytes for _, size_bytes in parts)
    return [*parts, ("Other", max(0, stats.rss_bytes - known))]


def machine_of(answer: JobSnapshot, target: str) -> Machine:
    """Return what is known of the machine, and of the target that an answer is of."""
    health, stats = runtime.get_engine().client.health, engine_stats(target)
    drafts = {draft.name: draft for draft in draft_figures(target)}
    draft = drafts.get(answer.drafter or "")
    return Machine(
        cores=os.cpu_count() or 0,
        load=_load(),
        pace=stats.pace if stats else 1.0,
        available_bytes=memory.available_bytes(),
        target_bytes=health.model.size_bytes if stats and health.model else 0,
        has_gpu=health.has_gpu,
        pass_costs=_in_plain_steps(cost_curves(target)),
        best_length=draft.best_length if draft else None,
        suggestion=suggested_pull(target),
    )


@st.cache_data(ttl="20s", show_spinner=False)
def suggested_pull(model: str) -> str:
    """Return the name of a model that could be pulled as a draft; empty where none is known."""
    try:
        header = find_target(model, get_settings()).header
    except SpecChatError:
        return ""
    found = header and suggest_draft(model, header.architecture, header.parameters)
    return found.name if found else ""


@st.cache_data(ttl="20s", show_spinner=False)
def _kept_curves(model: str) -> tuple[CostCurve, ...]:
    settings = get_settings()
    try:
        target = find_target(model, settings)
    except SpecChatError:
        return ()
    passes = recall(costs_file(target.path, target_options(target, settings), settings)) or {}
    return tuple(
        CostCurve(depth, tuple((n, s) for n, s in sorted(times.items()) if n <= MAX_WIDTH))
        for depth, times in sorted(passes.items())
    )


def _by_width(costs: PassCosts) -> Iterator[tuple[int, float]]:
    return enumerate(costs.seconds[:MAX_WIDTH], start=1)


def _in_plain_steps(curves: tuple[CostCurve, ...]) -> tuple[float, ...]:
    """Return passes over 1, 2, 3... tokens in plain ones, as wide as they are made."""
    if not curves:
        return ()
    table = CostTable({curve.depth: dict(curve.seconds) for curve in curves}, max_width=MAX_WIDTH)
    widths = (table.padded_width(width, MAX_WIDTH) for width in range(1, MAX_WIDTH + 1))
    return tuple(table.seconds(width) / table.seconds(1) for width in widths)


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0
