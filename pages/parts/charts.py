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
_Kept = dict[tuple[str, int], tuple[JobSnapshot, Any]]
CONFIG = {"displayModeBar": False, "scrollZoom": False}


def draw_acceptance(answer: JobSnapshot, *, key: str) -> None:
    """Draw the acceptance rate by round."""
    said = f"Acceptance rate by round; {wording.acceptance(answer.stats)}"
    figure = _figure(answer, "acceptance", lambda: acceptance_figure(answer.rounds))
    _draw(figure, key, said)


def draw_speedup(answer: JobSnapshot, *, key: str) -> None:
    """Draw the speedup over plain decoding by round."""
    plain = answer.stats.baseline.tokens_per_second
    said = f"Speedup by round; {wording.speedup(answer.stats)}"
    figure = _figure(answer, "speedup", lambda: speedup_figure(answer.rounds, plain))
    _draw(figure, key, said)


def draw_draft_length(answer: JobSnapshot, *, key: str) -> None:
    """Draw how many tokens were drafted and accepted by round."""
    said = f"Draft length by round; {wording.draft_length(answer.stats)}"
    figure = _figure(answer, "draft length", lambda: draft_length_figure(answer.rounds))
    _draw(figure, key, said)


def preload_charts() -> None:
    """Have the browser fetch what charts need, out of sight."""
    with st.container(key="chart_preload"):
        st.plotly_chart(acceptance_figure(()), key="preloaded")


def _draw(figure: Any, key: str, alt: str) -> None:
    st.plotly_chart(figure, key=key, config=CONFIG, alt=alt)


def _figure(answer: JobSnapshot, name: str, make: Callable[[], Any]) -> Any:
    """Return the figure of an answer as it was made before, in whichever place, or make it."""
    kept = cast("_Kept", st.session_state.setdefault(_KEPT, {}))
    # While it is written, an answer is another one each time.
    place = (name, 0 if answer.is_active else id(answer))
    known = kept.pop(place, None)
    if known is None or known[0] is not answer:
        known = (answer, make())
    kept[place] = known
    if len(kept) > KEPT_FIGURES:
        del kept[next(iter(kept))]
    return known[1]
