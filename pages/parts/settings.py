"""The sidebar of the chat: how the next answer is written."""

from __future__ import annotations

from typing import Any

import streamlit as st
from pydantic import ValidationError

from config import AUTO, LOOKUP, SamplingParams, SpeculativeConfig, get_settings
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
from utils.draft_ranking import RankedDraft, best_draft, rank_drafts
from utils.engine import runtime
from utils.errors import RequestError, SpecChatError

SPECULATED = ("enabled", "draft_model", "draft_length", "max_draft_tokens", "verifier")
DRAFT_LENGTHS = {"adaptive": "Adaptive", "fixed": "Fixed"}
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
    """Return the name of the draft that is chosen, by the user or automatically."""
    chosen: str = _value("draft_model")
    drafts = _drafts(model_choice.current_target())
    best = best_draft(drafts)
    if chosen == AUTO and best is not None:
        return best.label
    return next((draft.label for draft in drafts if draft.name == chosen), chosen)


def drafting_problem() -> str:
    """Return why nothing can be drafted for the chosen model; empty where something can."""
    target = model_choice.current_target()
    drafts = _drafts(target)
    if target.problem or not drafts or best_draft(drafts):
        return target.problem
    return next(draft.sentence for draft in drafts if draft.name == LOOKUP)


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
    if not is_first:
        st.session_state[PREFIX + "draft_model"] = AUTO


def _system_hint(target: Target) -> str:
    system = " ".join(target.system.split())
    shown = system if len(system) <= SHOWN_CHARS else f"{system[:SHOWN_CHARS]}…"
    return f"Empty: the model's own, which is: {shown}" if shown else HOW_TO_ANSWER


def _value(name: str) -> Any:
    return st.session_state[PREFIX + name]


def _drafts(target: Target) -> list[RankedDraft]:
    """Return what can draft for a model and what cannot, the best first."""
    engine = runtime.get_engine().client.health
    return _ranked(target.name, is_loaded=target.is_loaded(engine), has_gpu=engine.has_gpu)


@st.cache_data(ttl="20s", show_spinner=False)
def _ranked(target: str, *, is_loaded: bool, has_gpu: bool) -> list[RankedDraft]:
    try:
        return rank_drafts(target, get_settings(), is_loaded=is_loaded, has_gpu=has_gpu)
    except SpecChatError:
        return []


def _labels(drafts: list[RankedDraft]) -> dict[str, str]:
    """Return what can be chosen, by name, as the choice shows it; empty where nothing drafts."""
    best = best_draft(drafts)
    if best is None:
        return {}
    offered = {
        draft.name: draft.label if draft.is_usable else f"{draft.label}: too large now"
        for draft in drafts
        if draft.verdict != "unfit"
    }
    return {AUTO: f"Automatic: {best.label}", **offered}


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
    _draw_drafts(_drafts(target), enabled=enabled)
    _draw_draft_length(enabled=enabled)
    st.toggle(
        "Show token sources",
        key=PREFIX + "show_sources",
        persist_state="session",
        help="Mark every token of the answers by where it came from.",
    )
    if shows_sources():
        st.html(legend_html())


def _draw_drafts(drafts: list[RankedDraft], *, enabled: bool) -> None:
    """Draw the choice of a draft, and why each stands where it does."""
    labels = _labels(drafts)
    if labels and _value("draft_model") not in labels:
        st.session_state[PREFIX + "draft_model"] = AUTO
    st.selectbox(
        "Draft",
        list(labels) or [_value("draft_model")],
        format_func=lambda name: labels.get(name, name),
        key=PREFIX + "draft_model",
        persist_state="session",
        disabled=not enabled,
        help="Automatic takes the best of what is installed: by vocabulary, size, memory and cost.",
    )
    if not labels:
        return
    if enabled and (warning := _warning(drafts, _value("draft_model"))):
        st.warning(literal(sentence(warning)), icon=":material/translate:")
    usable = [draft for draft in drafts if draft.is_usable]
    unfit = [draft for draft in drafts if not draft.is_usable]
    with st.expander(_ranking_label(len(usable)), type="compact"):
        for draft in usable:
            st.text(f"{draft.rank}. {draft.label}: {draft.sentence}")
    if unfit:
        with st.expander(f"{len(unfit)} found that cannot draft here", type="compact"):
            for draft in unfit:
                st.text(f"{draft.label}: {draft.sentence}")


def _warning(drafts: list[RankedDraft], chosen: str) -> str:
    """Return what to expect of the chosen draft where that is less than usual."""
    best = best_draft(drafts)
    name = best.name if best is not None and chosen == AUTO else chosen
    return next((draft.warning for draft in drafts if draft.name == name), "")


def _ranking_label(count: int) -> str:
    return "What can draft here" if count == 1 else f"How the {count} drafts rank here"


def _draw_draft_length(*, enabled: bool) -> None:
    st.segmented_control(
        "Draft length",
        list(DRAFT_LENGTHS),
        format_func=DRAFT_LENGTHS.__getitem__,
        required=True,
        key=PREFIX + "draft_length",
        persist_state="session",
        disabled=not enabled,
        help="Adaptive drafts as much as is measured to pay, from nothing to 16 tokens, and takes "
        "the better of draft model and lookup. Fixed always drafts the same number.",
    )
    if _value("draft_length") == "fixed":
        st.slider(
            "Tokens drafted in a round",
            min_value=1,
            max_value=16,
            key=PREFIX + "max_draft_tokens",
            persist_state="session",
            disabled=not enabled,
        )


def _draw_verifier() -> None:
    st.selectbox(
        "Verifier",
        list(VERIFIERS),
        format_func=VERIFIERS.__getitem__,
        key=PREFIX + "verifier",
        persist_state="session",
        help="All are lossless: the answer follows the target's distribution.",
    )
