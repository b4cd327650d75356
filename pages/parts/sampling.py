"""The widgets of sampling: how the next token is chosen, and what they take for a value."""

from __future__ import annotations

from typing import Any

import streamlit as st

from config import SamplingParams
from pages.parts.fields import draw_number
from utils.chat.markdown import literal
from utils.chat.wording import sentence
from utils.errors import RequestError
from utils.grammar.json_grammar import grammar_of_schema

PREFIX = "setting_"
SAMPLED = ("temperature", "top_k", "top_p", "min_p", "max_tokens", "seed")
PENALISED = ("repetition_penalty", "frequency_penalty", "presence_penalty", "penalty_window")
WRITTEN = ("stop", "json_output", "json_schema")
HOTTEST = 2.0
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
SCHEMA_CHARS = 65_536
SCHEMA_EXAMPLE = '{"type": "object", "properties": {"city": {"type": "string"}}}'


def sampling_values(sampling: SamplingParams) -> dict[str, Any]:
    """Return sampling as the widgets take it, within what they allow."""
    values = {name: getattr(sampling, name) for name in (*SAMPLED, *PENALISED, *WRITTEN)}
    values["json_output"] = sampling.json_output or bool(sampling.json_schema)
    return {name: widget_value(name, value) for name, value in values.items()}


def widget_value(name: str, value: Any) -> Any:
    """Return a setting as its widget takes it."""
    if name == "stop":
        return "\n".join(value)
    if name == "json_schema":
        return value or ""
    if name not in BOUNDS or value is None:
        return value
    low, high = BOUNDS[name]
    return type(value)(min(max(value, low), high))


def setting_value(name: str, value: Any) -> Any:
    """Return what a widget holds as the setting that it stands for."""
    if name == "stop":
        return tuple(line for line in value.splitlines() if line)
    return (value.strip() or None) if name == "json_schema" else value


def answer_form(values: dict[str, Any]) -> dict[str, Any]:
    """Return what `values` ask of the form of an answer: it can only have one.

    Raises `RequestError` for a schema that cannot be kept to.
    """
    if not values["json_output"]:
        return {"json_output": False, "json_schema": None}
    if schema := values["json_schema"]:
        grammar_of_schema(schema)
    return {"json_output": not schema, "json_schema": schema, "grammar": None}


def draw_sampling(*, hottest: float) -> None:
    """Draw what most people change; `hottest` is the highest temperature that a default has."""
    st.slider(
        "Temperature",
        0.0,
        max(HOTTEST, hottest, st.session_state[PREFIX + "temperature"]),
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
    _draw_json()


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


def _draw_json() -> None:
    st.toggle(
        "JSON output",
        key=PREFIX + "json_output",
        persist_state="session",
        help="The answer is JSON, token by token: what would break it is never chosen.",
    )
    if not st.session_state[PREFIX + "json_output"]:
        return
    st.text_area(
        "JSON schema",
        key=PREFIX + "json_schema",
        persist_state="session",
        height=120,
        max_chars=SCHEMA_CHARS,
        placeholder=f"Empty: any object. Or for example: {SCHEMA_EXAMPLE}",
    )
    try:
        answer_form(
            {name: setting_value(name, st.session_state[PREFIX + name]) for name in WRITTEN}
        )
    except RequestError as error:
        st.error(literal(sentence(str(error))), icon=":material/data_object:")


def _draw_number(name: str, label: str, step: float, **options: Any) -> None:
    draw_number(PREFIX + name, BOUNDS[name], label, step, **options)
