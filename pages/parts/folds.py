"""A fold that is empty until it is opened: what nobody looks at costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import streamlit as st


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold that `draw` fills while it is open; give it a `key` where the label may change."""

    label: str
    draw: Callable[[], None]
    icon: str | None = None
    key: str = ""
    type: Literal["default", "compact"] = "default"


def draw_folds(folds: Iterable[Fold]) -> None:
    """Draw folds, which are drawn anew by themselves, all of them when one is opened."""
    with st.container():
        st.fragment(fill_folds)(tuple(folds))


def fill_folds(folds: Iterable[Fold]) -> None:
    """Draw folds as a part of what is drawn anew with them."""
    for fold in folds:
        shown = st.expander(
            fold.label,
            icon=fold.icon,
            type=fold.type,
            key=f"fold_{fold.key or fold.label}",
            on_change="rerun",
        )
        if shown.open:
            with shown:
                fold.draw()
