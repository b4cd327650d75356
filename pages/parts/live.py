"""The panel beside the last answer: its figures, and two charts that move while it is written.

Each chart has two layers that are updated in turn; `chat.css` says why, and shows one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import streamlit as st

from pages.parts.charts import draw_acceptance, draw_speedup
from utils.chat import wording
from utils.chat.markdown import literal
from utils.chat.snapshots import JobSnapshot

PANEL = "live_panel"
_LAYERS = "live_layers"
_DRAW = {"acceptance": draw_acceptance, "speedup": draw_speedup}


@dataclass(frozen=True, slots=True)
class _Layers:
    """What lower and upper charts show of the answer `key`; nothing moves without a lower one."""

    key: str
    lower: JobSnapshot | None
    upper: JobSnapshot

    def after(self, answer: JobSnapshot) -> _Layers:
        """Put `answer` into the layer whose turn it is; the last word belongs to the upper one.

        Without a line the upper layer hides nothing: then both show the same.
        """
        if self.lower is None:
            return replace(self, upper=answer)
        if not answer.is_active and not answer.stats.drafted:
            return replace(self, lower=answer, upper=answer)
        if answer.version == self.upper.version:
            return self
        if not answer.is_active or self.lower.version > self.upper.version:
            return replace(self, upper=answer)
        return replace(self, lower=answer)


def draw_panel(answer: JobSnapshot, *, key: str) -> None:
    """Draw the panel into a container of the key `PANEL`, which keeps it in view."""
    layers = _turn_over(answer, key=key)
    _draw_rates(answer)
    for name, draw in _DRAW.items():
        st.caption(f"{name.capitalize()} by round")
        with st.container(key=f"live_stack_{name}"):
            for place, shown in (("lower", layers.lower), ("upper", layers.upper)):
                if shown is not None:
                    draw(shown, key=f"live_{place}_{name}")


def _draw_rates(answer: JobSnapshot) -> None:
    stats = answer.stats
    with st.container(horizontal=True, gap="medium"):
        rate = wording.figure(stats.tokens_per_second) if stats.rounds else "-"
        st.metric("Tokens/s", rate, width="content")
        st.metric(
            "Speedup",
            f"{stats.speedup:.2f}{wording.TIMES}" if stats.drafted and stats.speedup else "-",
            help=literal(wording.comparison_sentence(answer)),
            width="content",
        )


def _turn_over(answer: JobSnapshot, *, key: str) -> _Layers:
    held = cast("_Layers | None", st.session_state.get(_LAYERS))
    if held is None or held.key != key or (answer.is_active and held.lower is None):
        held = _Layers(key, answer if answer.is_active else None, answer)
    st.session_state[_LAYERS] = held = held.after(answer)
    return held
