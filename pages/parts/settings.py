"""The sidebar of the chat: how the next answer is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import streamlit as st
from pydantic import ValidationError

from config import AUTO, LOOKUP, SamplingParams, SpeculativeConfig, get_settings
from pages.parts import assignment, model_choice
from pages.parts.conversation_list import draw_conversations
from pages.parts.draft_labels import draft_labels, draft_warning, offered_draft, ranking_label
from pages.parts.folds import Fold, draw_folds, fill_folds
from pages.parts.presets import draw_presets
from pages.parts.sampling import PREFIX, answer_form, draw_penalties, draw_sampling
from pages.parts.setting_values import (
    SPECULATED,
    keep_values,
    read_values,
    set_defaults,
    take_defaults,
    value,
)
from utils.chat.conversation import AnswerSettings
from utils.chat.markdown import literal
from utils.chat.presets import MAX_SYSTEM_PROMPT_CHARS
from utils.chat.targets import Target
from utils.chat.token_sources import legend_html
from utils.chat.wording import sentence
from utils.draft_ranking import RankedDraft, best_draft, rank_drafts
from utils.engine import runtime
from utils.errors import RequestError, SpecChatError

DRAFT_LENGTHS = {"adaptive": "Adaptive", "fixed": "Fixed"}
HOW_TO_ANSWER = "How the model should answer; empty: no system prompt."
SHOWN_CHARS = 500
SPECULATION, HEADER = "speculation", "header"
VERIFIERS = {
    "coupled": "Coupled sampling",
    "rejection": "Rejection sampling",
    "block": "Block verification",
}
ABOUT_VERIFIERS = (
    "All are lossless: the answer follows the target's distribution. Coupled sampling writes, with "
    "the same seed, the same text as without drafts. Rejection sampling looks at token by token; "
    "block verification at all of a draft together, and accepts a little more."
)


def settle_settings() -> None:
    """Give every setting a value that goes with the chosen model, before anything is drawn."""
    set_defaults()
    model_choice.settle_choice()
    take_defaults(model_choice.current_target())


def draw_settings() -> None:
    """Draw the chats and all settings; `read_settings` returns what these say."""
    draw_conversations()
    with st.sidebar:
        model_choice.draw_model_choice()
        _draw_apart(_draw_speculation, key=SPECULATION)
        # One part of the page for all: each more costs the server and the browser at every click.
        draw_folds(
            Fold(name, partial(_draw_and_keep, draw), icon=f":material/{icon}:")
            for name, icon, draw in (
                ("Sampling", "casino", _draw_sampling),
                ("System prompt", "badge", _draw_system_prompt),
                ("Advanced", "tune", _draw_advanced),
                ("Presets", "bookmarks", draw_presets),
            )
        )


def read_settings() -> AnswerSettings:
    """Return the settings as the widgets stand, or raise `RequestError`."""
    defaults, values = get_settings(), read_values()
    sampling = {name: values[name] for name in SamplingParams.model_fields if name in values}
    speculative = {name: values[name] for name in SPECULATED}
    sampling |= answer_form(values)
    decision = assignment.decide_answer(can_draft=not drafting_problem())
    speculative["enabled"] = decision.enabled
    try:
        return AnswerSettings(
            SamplingParams(**{**defaults.sampling.model_dump(), **sampling}),
            SpeculativeConfig(**{**defaults.speculative.model_dump(), **speculative}),
            values["system_prompt"],
            model_choice.current_target().choice(defaults),
            decision.enrolment,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0]).replace("_", " ")
        raise RequestError(
            f"{name} is not valid: {problem['msg'].lower()}; change it in the settings"
        ) from error


def shows_sources() -> bool:
    """Return whether tokens are to be marked by their source."""
    return bool(value("show_sources"))


def draft_label() -> str:
    """Return the name of the draft that is chosen, by the user or automatically."""
    chosen: str = value("draft_model")
    drafts = drafts_of(model_choice.current_target())
    best = best_draft(drafts)
    if chosen == AUTO and best is not None:
        return best.label
    return next((draft.label for draft in drafts if draft.name == chosen), chosen)


def drafting_problem() -> str:
    """Return why nothing can be drafted for the chosen model; empty where something can."""
    target = model_choice.current_target()
    drafts = drafts_of(target)
    if target.problem or not drafts or best_draft(drafts):
        return target.problem
    return next(draft.sentence for draft in drafts if draft.name == LOOKUP)


def _draw_apart(draw: Callable[[], None], *, key: str | None = None) -> None:
    """Draw settings that decide answers to come: a change of one draws these anew, and no more."""
    with st.container():
        st.fragment(_draw_and_keep, key=key)(draw)


def _draw_and_keep(draw: Callable[[], None]) -> None:
    draw()
    keep_values()


def _draw_sampling() -> None:
    target = model_choice.current_target()
    draw_sampling(hottest=target.sampling(get_settings()).temperature)


def _draw_system_prompt() -> None:
    st.text_area(
        "System prompt",
        key=PREFIX + "system_prompt",
        persist_state="session",
        height=140,
        max_chars=MAX_SYSTEM_PROMPT_CHARS,
        placeholder=_system_hint(model_choice.current_target()),
        label_visibility="collapsed",
    )


def _draw_advanced() -> None:
    _draw_verifier()
    st.toggle(
        "Look up earlier chats",
        key=PREFIX + "lookup_earlier",
        persist_state="session",
        help="Lookup copies what followed the same words before: in all of your newest chats, or "
        "in this one alone. Nobody else's are looked at.",
    )
    draw_penalties()


def _show_mode() -> None:
    """Have the header say how the next answer is written now, beside what was changed."""
    st.rerun([SPECULATION, HEADER])


def _take_switch() -> None:
    assignment.take_own_choice()
    _show_mode()


def _system_hint(target: Target) -> str:
    system = " ".join(target.system.split())
    shown = system if len(system) <= SHOWN_CHARS else f"{system[:SHOWN_CHARS]}…"
    return f"Empty: the model's own, which is: {shown}" if shown else HOW_TO_ANSWER


def drafts_of(target: Target) -> list[RankedDraft]:
    """Return what can draft for a model and what cannot, the best first."""
    engine = runtime.get_engine().client.health
    return _ranked(target.name, is_loaded=target.is_loaded(engine), has_gpu=engine.has_gpu)


@st.cache_data(ttl="20s", show_spinner=False)
def _ranked(target: str, *, is_loaded: bool, has_gpu: bool) -> list[RankedDraft]:
    try:
        return rank_drafts(target, get_settings(), is_loaded=is_loaded, has_gpu=has_gpu)
    except SpecChatError:
        return []


def _draw_speculation() -> None:
    assignment.settle_assignment()
    target = model_choice.current_target()
    problem, decision = drafting_problem(), assignment.next_decision()
    if problem or decision.why == "stopped":
        # Another key, so that the user's choice comes back with a model that can.
        st.toggle(
            "Speculative decoding",
            value=False,
            disabled=True,
            key="cannot_speculate",
            help=literal(sentence(f"not with this model: {problem}")) if problem else None,
        )
    else:
        st.toggle(
            "Speculative decoding",
            key=PREFIX + "enabled",
            persist_state="session",
            on_change=_take_switch,
            help="A draft proposes tokens and the target verifies several in one pass. "
            "The answer follows the target's own distribution, on or off.",
        )
    assignment.draw_note(decision)
    enabled = not problem and value("enabled")
    _draw_drafts(drafts_of(target), enabled=enabled)
    _draw_draft_length(enabled=enabled)
    st.toggle(
        "Show token sources",
        key=PREFIX + "show_sources",
        persist_state="session",
        # All answers are drawn otherwise.
        on_change=st.rerun,
        help="Mark every token of the answers by where it came from.",
    )
    if shows_sources():
        st.html(legend_html())


def _draw_drafts(drafts: list[RankedDraft], *, enabled: bool) -> None:
    """Draw the choice of a draft, and why each stands where it does."""
    labels = draft_labels(drafts)
    if labels:
        st.session_state[PREFIX + "draft_model"] = offered_draft(value("draft_model"), drafts)
    st.selectbox(
        "Draft",
        list(labels) or [value("draft_model")],
        format_func=lambda name: labels.get(name, name),
        key=PREFIX + "draft_model",
        persist_state="session",
        disabled=not enabled,
        on_change=_show_mode,
        help="Automatic takes the best of what is installed: by vocabulary, size, memory and cost.",
    )
    if not labels:
        return
    if enabled and (warning := draft_warning(drafts, value("draft_model"))):
        st.warning(literal(sentence(warning)), icon=":material/translate:")
    usable = [draft for draft in drafts if draft.is_usable]
    unfit = [draft for draft in drafts if not draft.is_usable]
    lines = [f"{draft.rank}. {draft.label}: {draft.sentence}" for draft in usable]
    folds = [_fold_of(ranking_label(len(usable)), lines, key="ranking")]
    if unfit:
        lines = [f"{draft.label}: {draft.sentence}" for draft in unfit]
        folds.append(_fold_of(f"{len(unfit)} found that cannot draft here", lines, key="unfit"))
    fill_folds(folds)


def _fold_of(label: str, lines: Iterable[str], *, key: str) -> Fold:
    def draw() -> None:
        for line in lines:
            st.text(line)

    return Fold(label, draw, key=key, type="compact")


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
    if value("draft_length") == "fixed":
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
        help=ABOUT_VERIFIERS,
    )
