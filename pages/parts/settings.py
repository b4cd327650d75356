"""The sidebar of the chat: how the next answer is written."""

from __future__ import annotations

from typing import Any

import streamlit as st
from pydantic import ValidationError

from config import LOOKUP, SamplingParams, SpeculativeConfig, get_settings
from pages.parts import model_choice, session
from pages.parts.sampling import (
    PENALISED,
    PREFIX,
    SAMPLED,
    draw_penalties,
    draw_sampling,
    sampling_values,
)
from utils.chat.conversation import AnswerSettings
from utils.chat.markdown import literal
from utils.chat.targets import Target
from utils.chat.token_sources import legend_html
from utils.chat.wording import sentence
from utils.draft_models import DraftOption, draft_options
from utils.errors import RequestError, SpecChatError

SPECULATED = ("enabled", "draft_model", "max_draft_tokens", "verifier")
HOW_TO_ANSWER = "How the model should answer; empty: no system prompt."
SHOWN_CHARS = 500
VERIFIERS = {
    "coupled": "Coupled: same seed, same text as without drafts",
    "rejection": "Rejection sampling, token by token",
    "block": "Block verification: accepts a little more",
}
_DEFAULTS_OF = "defaults_of"


def draw_settings() -> None:
    """Draw all settings; `read_settings` returns what they say."""
    model_choice.settle_choice()
    _take_defaults(model_choice.current_target())
    with st.sidebar:
        st.button(
            "New chat",
            icon=":material/edit_square:",
            on_click=session.start_new_conversation,
            shortcut="Mod+Shift+O",
            width="stretch",
            key="new_chat",
        )
        model_choice.draw_model_choice()
        _draw_speculation(model_choice.current_target())
        with st.expander("Sampling", icon=":material/casino:"):
            wanted = model_choice.current_target().sampling(get_settings())
            draw_sampling(hottest=max(2.0, wanted.temperature))
        with st.expander("System prompt", icon=":material/badge:"):
            st.text_area(
                "System prompt",
                key=PREFIX + "system_prompt",
                persist_state="session",
                height=140,
                max_chars=20_000,
                placeholder=_system_hint(model_choice.current_target()),
                label_visibility="collapsed",
            )
        with st.expander("Advanced", icon=":material/tune:"):
            _draw_verifier()
            draw_penalties()


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
            model_choice.current_target().choice(defaults),
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
    options = _options(model_choice.current_target().name)
    return next((option.label for option in options if option.name == chosen), chosen)


def drafting_problem() -> str:
    """Return why nothing can be drafted for the chosen model; empty where something can."""
    target = model_choice.current_target()
    options = _options(target.name)
    if target.problem or not options or any(option.compatible for option in options):
        return target.problem
    return next(option.reason for option in options if option.name == LOOKUP)


def _set_defaults() -> None:
    """Give a value to what has none yet."""
    defaults = get_settings()
    values = {
        **sampling_values(defaults.sampling),
        **{name: getattr(defaults.speculative, name) for name in SPECULATED},
        "system_prompt": "",
        "show_sources": False,
    }
    for name, value in values.items():
        st.session_state.setdefault(PREFIX + name, value)


def _take_defaults(target: Target) -> None:
    """Take over what a newly chosen model wants: its sampling, and a draft that suits it."""
    _set_defaults()
    sampling = target.sampling(get_settings())
    wanted = (target.name, sampling)
    if target.entry is None or st.session_state.get(_DEFAULTS_OF) == wanted:
        return
    is_first = _DEFAULTS_OF not in st.session_state
    st.session_state[_DEFAULTS_OF] = wanted
    for name, value in sampling_values(sampling).items():
        st.session_state[PREFIX + name] = value
    options = [option.name for option in _options(target.name) if option.compatible]
    if options and not (is_first and _value("draft_model") in options):
        models = [name for name in options if name != LOOKUP]
        st.session_state[PREFIX + "draft_model"] = (models or options)[0]


def _system_hint(target: Target) -> str:
    system = " ".join(target.system.split())
    shown = system if len(system) <= SHOWN_CHARS else f"{system[:SHOWN_CHARS]}…"
    return f"Empty: the model's own, which is: {shown}" if shown else HOW_TO_ANSWER


def _value(name: str) -> Any:
    return st.session_state[PREFIX + name]


@st.cache_data(ttl="20s", show_spinner=False)
def _options(target: str) -> list[DraftOption]:
    try:
        return draft_options(get_settings(), target)
    except SpecChatError:
        return []


def _draw_speculation(target: Target) -> None:
    problem = drafting_problem()
    if problem:
        # Another key, so that the user's choice comes back with a model that can.
        st.toggle(
            "Speculative decoding",
            value=False,
            disabled=True,
            key="cannot_speculate",
            help=literal(sentence(f"not with this model: {problem}")),
        )
    else:
        st.toggle(
            "Speculative decoding",
            key=PREFIX + "enabled",
            persist_state="session",
            help="A draft proposes tokens and the target verifies several in one pass. "
            "The answer follows the target's own distribution, on or off.",
        )
    enabled = not problem and _value("enabled")
    options = _options(target.name)
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
    if not problem:
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


def _draw_verifier() -> None:
    st.selectbox(
        "Verifier",
        list(VERIFIERS),
        format_func=VERIFIERS.__getitem__,
        key=PREFIX + "verifier",
        persist_state="session",
        help="All are lossless: the answer follows the target's distribution.",
    )
