"""The widgets of sampling: how the next token is chosen, and what they take for a value."""

from __future__ import annotations

from typing import Any

import streamlit as st

from config import SamplingParams

PREFIX = "setting_"
SAMPLED = ("temperature", "top_k", "top_p", "min_p", "max_tokens", "seed")
PENALISED = ("repetition_penalty", "frequency_penalty", "presence_penalty", "penalty_window")
LARGEST_EXACT = 2**53 - 1
BOUNDS: dict[str, tuple[float, float]] = {
    "max_tokens": (1, 131_072),
    "seed": (0, LARGEST_EXACT),
    "top_p": (0.01, 1.0),
    "min_p": (0.0, 1.0),
    "top_k": (0, 1000),
    "repetition_penalty": (0.05, 4.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "penalty_window": (0, 4096),
}


def sampling_values(sampling: SamplingParams) -> dict[str, Any]:
    """Return sampling as the widgets take it, within what they allow."""
    values = {name: getattr(sampling, name) for name in (*SAMPLED, *PENALISED)}
    for name, (low, high) in BOUNDS.items():
        if values[name] is not None:
            values[name] = type(values[name])(min(max(values[name], low), high))
    return {**values, "stop": "\n".join(sampling.stop)}


def draw_sampling(*, hottest: float) -> None:
    """Draw what most people change; `hottest` is the highest temperature offered."""
    st.slider(
        "Temperature",
        0.0,
        hottest,
        step=0.05,
        key=PREFIX + "temperature",
        persist_state="session",
        help="0 always takes the likeliest token.",
    )
    _draw_number("max_tokens", "Longest answer, in tokens", 64)
    _draw_number(
        "seed",
        "Seed",
        1,
        placeholder="random",
        help="Same seed, same answer. Empty: another one each time.",
    )
    _draw_number("top_p", "Top-p", 0.01)
    _draw_number("min_p", "Min-p", 0.01)
    _draw_number("top_k", "Top-k (0 keeps all)", 1)


def draw_penalties() -> None:
    """Draw what few people change."""
    _draw_number("repetition_penalty", "Repetition penalty", 0.05)
    _draw_number("frequency_penalty", "Frequency penalty", 0.1)
    _draw_number("presence_penalty", "Presence penalty", 0.1)
    _draw_number("penalty_window", "Penalty window, in tokens", 16)
    st.text_area(
        "Stop texts, one a line",
        key=PREFIX + "stop",
        persist_state="session",
        height=80,
        help="The answer ends before the first of them.",
    )


def _draw_number(name: str, label: str, step: float, **options: Any) -> None:
    low, high = BOUNDS[name]
    st.number_input(
        label,
        min_value=low,
        max_value=high,
        step=step,
        key=PREFIX + name,
        persist_state="session",
        **options,
    )
