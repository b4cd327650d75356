"""The charts of an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import streamlit as st

from utils.charts.answers import acceptance_figure, draft_length_figure, speedup_figure
from utils.chat import wording
from utils.chat.snapshots import JobSnapshot

KEPT_FIGURES = 12
LEAST_WIDTH = 360
_KEPT = "kept_figures"
CONFIG = {"displayModeBar": False, "scrollZoom": False}


def draw_acceptance(answer: JobSnapshot, *, key: str) -> None:
    """Draw the acceptance rate by round."""
    said = f"Acceptance rate by round; {wording.acceptance(answer.stats)}"
    _draw(answer, key, said, lambda: acceptance_figure(answer.rounds))


def draw_speedup(answer: JobSnapshot, *, key: str) -> None:
    """Draw the speedup over plain decoding by round."""
    plain = answer.stats.baseline.tokens_per_second
    said = f"Speedup by round; {wording.speedup(answer.stats)}"
    _draw(answer, key, said, lambda: speedup_figure(answer.rounds, plain))


def draw_draft_length(answer: JobSnapshot, *, key: str) -> None:
    """Draw how many tokens were drafted and accepted by round."""
    said = f"Draft length by round; {wording.draft_length(answer.stats)}"
    _draw(answer, key, said, lambda: draft_length_figure(answer.rounds))


def preload_charts() -> None:
    """Have the browser fetch what charts need, out of sight."""
    with st.container(key="chart_preload"):
        st.plotly_chart(acceptance_figure(()), key="preloaded")


def _draw(answer: JobSnapshot, key: str, alt: str, make: Callable[[], Any]) -> None:
    st.plotly_chart(_figure(answer, key, make), key=key, config=CONFIG, alt=alt)


def _figure(answer: JobSnapshot, key: str, make: Callable[[], Any]) -> Any:
    """Return the figure that was made last where it still is the same, and make it otherwise."""
    kept = cast("dict[str, tuple[JobSnapshot, Any]]", st.session_state.setdefault(_KEPT, {}))
    known = kept.pop(key, None)
    if known is None or known[0] is not answer:
        known = (answer, make())
    kept[key] = known
    if len(kept) > KEPT_FIGURES:
        del kept[next(iter(kept))]
    return known[1]
