"""The sidebar of the chat: how the next answer is written."""

from __future__ import annotations

from typing import Any

import streamlit as st
from pydantic import ValidationError

from config import SamplingParams, SpeculativeConfig, get_settings
from pages.parts import session
from utils.chat.conversation import AnswerSettings
from utils.chat.token_sources import legend_html
from utils.draft_models import DraftOption, draft_options
from utils.errors import RequestError, SpecChatError

PREFIX = "setting_"
SAMPLED = ("temperature", "top_k", "top_p", "min_p", "max_tokens", "seed")
PENALISED = ("repetition_penalty", "frequency_penalty", "presence_penalty", "penalty_window")
SPECULATED = ("enabled", "draft_model", "max_draft_tokens", "verifier")
LARGEST_EXACT = 2**53 - 1
VERIFIERS = {
    "coupled": "Coupled: same seed, same text as without drafts",
    "rejection": "Rejection sampling, token by token",
    "block": "Block verification: accepts a little more",
}


def draw_settings() -> None:
    """Draw all settings; `read_settings` returns what they say."""
    _set_defaults()
    with st.sidebar:
        st.button(
            "New chat",
            icon=":material/edit_square:",
            on_click=session.start_new_conversation,
            shortcut="Mod+Shift+O",
            width="stretch",
            key="new_chat",
        )
        _draw_speculation()
        with st.expander("Sampling", icon=":material/casino:"):
            _draw_sampling()
        with st.expander("System prompt", icon=":material/badge:"):
            st.text_area(
                "System prompt",
                key=PREFIX + "system_prompt",
                persist_state="session",
                height=140,
                max_chars=20_000,
                placeholder="How the model should answer; empty: no system prompt.",
                label_visibility="collapsed",
            )
        with st.expander("Advanced", icon=":material/tune:"):
            _draw_advanced()


def read_settings() -> AnswerSettings:
    """Return the settings as the widgets stand, or raise `RequestError`."""
    _set_defaults()
    defaults = get_settings()
    sampling = {name: _value(name) for name in (*SAMPLED, *PENALISED)}
    sampling["stop"] = tuple(line for line in _value("stop").splitlines() if line)
    speculative = {name: _value(name) for name in SPECULATED}
    try:
        return AnswerSettings(
            SamplingParams(**{**defaults.sampling.model_dump(), **sampling}),
            SpeculativeConfig(**{**defaults.speculative.model_dump(), **speculative}),
            _value("system_prompt"),
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0]).replace("_", " ")
        raise RequestError(
            f"{name} is not valid: {problem['msg'].lower()}; change it in the settings"
        ) from error


def shows_sources() -> bool:
    """Return whether tokens are to be marked by their source."""
    return bool(_value("show_sources"))


def draft_label() -> str:
    """Return the name of the chosen draft as the settings show it."""
    chosen = _value("draft_model")
    options = _options()
    return next((option.label for option in options if option.name == chosen), chosen)


def _set_defaults() -> None:
    defaults = get_settings()
    values = {
        **{name: getattr(defaults.sampling, name) for name in (*SAMPLED, *PENALISED)},
        **{name: getattr(defaults.speculative, name) for name in SPECULATED},
        "stop": "\n".join(defaults.sampling.stop),
        "system_prompt": "",
        "show_sources": False,
    }
    for name, value in values.items():
        st.session_state.setdefault(PREFIX + name, value)


def _value(name: str) -> Any:
    return st.session_state[PREFIX + name]


@st.cache_data(ttl="20s", show_spinner=False)
def _options() -> list[DraftOption]:
    try:
        return draft_options(get_settings(), get_settings().target_model)
    except SpecChatError:
        return []


def _draw_speculation() -> None:
    enabled = st.toggle(
        "Speculative decoding",
        key=PREFIX + "enabled",
        persist_state="session",
        help="A draft proposes tokens and the target verifies several in one pass. "
        "The answer follows the target's own distribution, on or off.",
    )
    options = _options()
    usable = {option.name: option for option in options if option.compatible}
    if usable and _value("draft_model") not in usable:
        st.session_state[PREFIX + "draft_model"] = next(iter(usable))
    st.selectbox(
        "Draft",
        list(usable) or [_value("draft_model")],
        format_func=lambda name: usable[name].label if name in usable else name,
        key=PREFIX + "draft_model",
        persist_state="session",
        disabled=not enabled,
    )
    _draw_unfit([option for option in options if not option.compatible])
    st.slider(
        "Draft length",
        min_value=1,
        max_value=16,
        key=PREFIX + "max_draft_tokens",
        persist_state="session",
        disabled=not enabled,
        help="Most tokens drafted in one round.",
    )
    st.toggle(
        "Show token sources",
        key=PREFIX + "show_sources",
        persist_state="session",
        help="Mark every token of the answers by where it came from.",
    )
    if shows_sources():
        st.html(legend_html())


def _draw_unfit(options: list[DraftOption]) -> None:
    if not options:
        return
    with st.expander(f"{len(options)} found that cannot draft here", type="compact"):
        for option in options:
            st.text(f"{option.label}: {option.reason}")


def _draw_sampling() -> None:
    st.slider(
        "Temperature",
        0.0,
        max(2.0, get_settings().sampling.temperature),
        step=0.05,
        key=PREFIX + "temperature",
        persist_state="session",
        help="0 always takes the likeliest token.",
    )
    st.number_input(
        "Longest answer, in tokens",
        min_value=1,
        max_value=131_072,
        step=64,
        key=PREFIX + "max_tokens",
        persist_state="session",
    )
    st.number_input(
        "Seed",
        min_value=0,
        max_value=LARGEST_EXACT,
        step=1,
        key=PREFIX + "seed",
        persist_state="session",
        placeholder="random",
        help="Same seed, same answer. Empty: another one each time.",
    )
    for name, label, low, high, step in (
        ("top_p", "Top-p", 0.01, 1.0, 0.01),
        ("min_p", "Min-p", 0.0, 1.0, 0.01),
        ("top_k", "Top-k (0 keeps all)", 0, 1000, 1),
    ):
        _draw_number(name, label, low, high, step)


def _draw_advanced() -> None:
    st.selectbox(
        "Verifier",
        list(VERIFIERS),
        format_func=VERIFIERS.__getitem__,
        key=PREFIX + "verifier",
        persist_state="session",
        help="All are lossless: the answer follows the target's distribution.",
    )
    for name, label, low, high, step in (
        ("repetition_penalty", "Repetition penalty", 0.05, 4.0, 0.05),
        ("frequency_penalty", "Frequency penalty", -2.0, 2.0, 0.1),
        ("presence_penalty", "Presence penalty", -2.0, 2.0, 0.1),
        ("penalty_window", "Penalty window, in tokens", 0, 4096, 16),
    ):
        _draw_number(name, label, low, high, step)
    st.text_area(
        "Stop texts, one a line",
        key=PREFIX + "stop",
        persist_state="session",
        height=80,
        help="The answer ends before the first of them.",
    )


def _draw_number(name: str, label: str, low: float, high: float, step: float) -> None:
    st.number_input(
        label,
        min_value=low,
        max_value=high,
        step=step,
        key=PREFIX + name,
        persist_state="session",
    )
