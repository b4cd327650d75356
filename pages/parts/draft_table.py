"""Which drafts there are for a target: ranked, with what is known of each, and what to pull."""

from __future__ import annotations

import streamlit as st

from config import get_settings
from pages.parts import model_choice
from pages.parts.model_pulls import pull_model
from pages.parts.target_costs import suggested_pull
from utils.chat import draft_wording, model_wording
from utils.chat.answer_history import measured_speeds
from utils.chat.markdown import literal
from utils.chat.targets import can_chat
from utils.chat.wording import sentence
from utils.draft_ranking import RankedDraft, rank_drafts
from utils.engine import runtime
from utils.errors import SpecChatError, StorageError
from utils.model_catalogue import CatalogueEntry
from utils.storage import database

POLL_S = 5.0
TARGET = "draft_table_target"
COLORS = {"good": "green", "quiet": "gray", "busy": "orange", "bad": "red"}


def draw_draft_table() -> None:
    """Draw the choice of a target and its drafts, and keep what is said of them true."""
    with st.container():
        st.fragment(_draw, run_every=POLL_S)()


def _draw() -> None:
    st.header("Drafts", anchor=False)
    entries = {entry.name: entry for entry in _targets()}
    if not entries:
        st.caption("No model here can be drafted for.")
        return
    if st.session_state.get(TARGET) not in entries:
        chosen = model_choice.current_target().name
        st.session_state[TARGET] = chosen if chosen in entries else next(iter(entries))
    name = st.selectbox(
        "Drafts for",
        list(entries),
        format_func=lambda name: (
            model_wording.model_label(entries[name]) if name in entries else name
        ),
        key=TARGET,
    )
    engine = runtime.get_engine().client.health
    is_loaded = engine.live and engine.model is not None and engine.model.name == name
    drafts, problem = _ranked(name, is_loaded=is_loaded, has_gpu=engine.has_gpu)
    if problem:
        st.error(literal(sentence(problem)), icon=":material/error:")
    _draw_suggestion(name, drafts)
    _draw_drafts(name, drafts)


def _targets() -> list[CatalogueEntry]:
    """Return the models that the engine may load."""
    entries = runtime.get_engine().catalogue.current.entries
    return [entry for entry in entries if can_chat(entry) and entry.fitness != "unusable"]


@st.cache_data(ttl="10s", show_spinner=False)
def _ranked(target: str, *, is_loaded: bool, has_gpu: bool) -> tuple[list[RankedDraft], str]:
    """Return the drafts, the best first, or why there is no telling."""
    try:
        drafts = rank_drafts(target, get_settings(), is_loaded=is_loaded, has_gpu=has_gpu)
    except SpecChatError as error:
        return [], str(error)
    return drafts, ""


def _draw_drafts(target: str, drafts: list[RankedDraft]) -> None:
    speeds = _speeds()
    usable = [draft for draft in drafts if draft.verdict != "unfit"]
    unfit = [draft for draft in drafts if draft.verdict == "unfit"]
    for draft in usable:
        _draw_draft(draft, draft_wording.draft_facts(draft, speeds.get((target, draft.name))))
    if unfit:
        with st.expander(f"{len(unfit)} found that cannot draft for it", key="unfit_drafts"):
            for draft in unfit:
                st.text(f"{draft.label}: {draft.sentence}")


def _draw_draft(draft: RankedDraft, facts: str) -> None:
    shown = draft_wording.draft_badge(draft)
    with st.container(key=f"draft_{draft.name}", border=True, gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            with st.container(key=f"name_of_draft_{draft.name}", width="content"):
                st.text(draft_wording.draft_name(draft))
            st.badge(shown.label, color=COLORS[shown.tone])
        st.caption(literal(sentence(draft.sentence)))
        if facts:
            st.caption(literal(facts))


def _draw_suggestion(target: str, drafts: list[RankedDraft]) -> None:
    """Offer to pull a small relative, where nothing that is here drafts well."""
    catalogue = runtime.get_engine().catalogue.current
    name = suggested_pull(target)
    if not drafts or not name or catalogue.find(name) or not draft_wording.lacks_draft(drafts):
        return
    with st.container(key="draft_suggestion", border=True, gap="small"):
        st.markdown(literal(draft_wording.suggestion_sentence(target, name, drafts)))
        st.button(
            f"Pull {name}",
            icon=":material/download:",
            on_click=pull_model,
            args=(name,),
            disabled=bool(catalogue.ollama_problem),
            help="Ollama does not answer: start it first." if catalogue.ollama_problem else None,
            key="pull_suggestion",
        )


def _speeds() -> draft_wording.Speeds:
    try:
        return measured_speeds(database.get_database())
    except StorageError:
        return {}
