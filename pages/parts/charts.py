"""The charts of an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import streamlit as st

from utils.charts.answers import acceptance_figure, draft_length_figure, speedup_figure
from utils.charts.style import DARK, LIGHT, ChartColors
from utils.chat import wording
from utils.chat.snapshots import JobSnapshot

KEPT_FIGURES = 12
_KEPT = "kept_figures"
CONFIG = {"displayModeBar": False, "scrollZoom": False}


def draw_acceptance(answer: JobSnapshot, *, key: str) -> None:
    """Draw the acceptance rate by round."""
    st.plotly_chart(
        _figure(answer, key, lambda: acceptance_figure(answer.rounds, colors())),
        theme=None,
        key=key,
        config=CONFIG,
        alt=f"Acceptance rate by round; {wording.acceptance(answer.stats)}",
    )


def draw_speedup(answer: JobSnapshot, *, key: str) -> None:
    """Draw the speedup over plain decoding by round."""
    plain = answer.stats.baseline.tokens_per_second
    st.plotly_chart(
        _figure(answer, key, lambda: speedup_figure(answer.rounds, plain, colors())),
        theme=None,
        key=key,
        config=CONFIG,
        alt=f"Speedup by round; {wording.speedup(answer.stats)}",
    )


def draw_draft_length(answer: JobSnapshot, *, key: str) -> None:
    """Draw how many tokens were drafted and accepted by round."""
    st.plotly_chart(
        _figure(answer, key, lambda: draft_length_figure(answer.rounds, colors())),
        theme=None,
        key=key,
        config=CONFIG,
        alt=f"Draft length by round; {wording.draft_length(answer.stats)}",
    )


def preload_charts() -> None:
    """Have the browser fetch what charts need, out of sight."""
    with st.container(key="chart_preload"):
        st.plotly_chart(acceptance_figure((), colors()), theme=None, key="preloaded")


def colors() -> ChartColors:
    """Return the colours of the theme that the browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def _figure(answer: JobSnapshot, key: str, make: Callable[[], Any]) -> Any:
    """Return the figure that was made last where it still is the same, and make it otherwise."""
    kept = cast(
        "dict[str, tuple[JobSnapshot, ChartColors, Any]]", st.session_state.setdefault(_KEPT, {})
    )
    known = kept.pop(key, None)
    if known is None or known[0] is not answer or known[1] is not colors():
        known = (answer, colors(), make())
    kept[key] = known
    if len(kept) > KEPT_FIGURES:
        del kept[next(iter(kept))]
    return known[2]
