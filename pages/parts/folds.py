"""A fold that is empty until it is opened: what nobody looks at costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st


def draw_fold(
    label: str,
    draw: Callable[[], None],
    *,
    icon: str | None = None,
    key: str = "",
    type: Literal["default", "compact"] = "default",
) -> None:
    """Draw a fold that has `draw` fill it while it is open, and is drawn anew by itself.

    `key` is to be given where the label may change.
    """
    with st.container():
        st.fragment(_draw)(label, draw, icon, key or label, type)


def _draw(
    label: str,
    draw: Callable[[], None],
    icon: str | None,
    key: str,
    type: Literal["default", "compact"],
) -> None:
    fold = st.expander(label, icon=icon, type=type, key=f"fold_{key}", on_change="rerun")
    if fold.open:
        with fold:
            draw()
