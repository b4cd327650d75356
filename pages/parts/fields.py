"""Fields of forms that several pages have."""

from __future__ import annotations

from typing import Any

import streamlit as st


def draw_number(key: str, bounds: tuple[Any, Any], label: str, step: float, **options: Any) -> None:
    """Draw a field for a number within bounds; it keeps its value while other pages are shown."""
    low, high = bounds
    st.number_input(
        label,
        min_value=low,
        max_value=high,
        step=step,
        key=key,
        persist_state="session",
        **options,
    )
