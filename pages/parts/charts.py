"""The charts of an answer."""

from __future__ import annotations

import streamlit as st

from utils.charts.answers import acceptance_figure, draft_length_figure, speedup_figure
from utils.charts.style import DARK, LIGHT, ChartColors
from utils.chat import wording
from utils.chat.snapshots import JobSnapshot

CONFIG = {"displayModeBar": False, "scrollZoom": False}


def draw_acceptance(answer: JobSnapshot, *, key: str) -> None:
    """Draw the acceptance rate by round."""
    st.plotly_chart(
        acceptance_figure(answer.rounds, colors()),
        theme=None,
        key=key,
        config=CONFIG,
        alt=f"Acceptance rate by round; {wording.acceptance(answer.stats)}",
    )


def draw_speedup(answer: JobSnapshot, *, key: str) -> None:
    """Draw the speedup over plain decoding by round."""
    st.plotly_chart(
        speedup_figure(answer.rounds, answer.stats.baseline.tokens_per_second, colors()),
        theme=None,
        key=key,
        config=CONFIG,
        alt=f"Speedup by round; {wording.speedup(answer.stats)}",
    )


def draw_draft_length(answer: JobSnapshot, *, key: str) -> None:
    """Draw how many tokens were drafted and accepted by round."""
    st.plotly_chart(
        draft_length_figure(answer.rounds, colors()),
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
