"""The list of models: what each is, where it is loaded, whether it can speculate, what to do."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from config import get_settings
from pages.parts import model_choice, session
from pages.parts.model_deletion import ask_before_deleting, unload
from utils.chat import model_wording
from utils.chat.markdown import literal
from utils.chat.targets import can_answer
from utils.chat.trials import get_trials
from utils.engine import runtime
from utils.model_catalogue import CatalogueEntry

POLL_S = 2.0
MAX_AGE_S = 1.5
ASK_WAIT_S = 5.0
COLORS = {"good": "green", "quiet": "gray", "busy": "orange", "bad": "red"}


def draw_ollama() -> None:
    """Draw whether Ollama answers and what it holds in memory, and keep that true."""
    with st.container():
        st.fragment(_draw_ollama, run_every=POLL_S)()


def draw_models() -> None:
    """Draw all models, and keep what is said of them true."""
    with st.container():
        st.fragment(_draw_models, run_every=POLL_S)()


def _draw_models() -> None:
    with st.container(gap="small"):
        for entry in model_choice.read_catalogue(max_age_s=MAX_AGE_S).entries:
            _draw_model(entry)
    session.show_notice()


def _draw_ollama() -> None:
    catalogue = model_choice.read_catalogue(max_age_s=MAX_AGE_S)
    shown = model_wording.ollama_badge(catalogue)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        # Drawn in either case: what a fragment leaves out may stay on the screen for a while.
        st.badge(shown.label, color=COLORS[shown.tone])
        st.caption(literal(shown.reason or "it answers"), width="content")
        st.button(
            "Ask again",
            type="tertiary",
            icon=":material/refresh:",
            on_click=model_choice.read_catalogue,
            kwargs={"max_age_s": 0, "wait_s": ASK_WAIT_S},
            key="ask_ollama",
        )
    if catalogue.running:
        now = datetime.now(UTC)
        with st.container(key="ollama_memory", gap="xsmall"):
            st.caption("In Ollama's memory")
            for running in catalogue.running:
                st.text(f"{running.name} · {model_wording.in_memory(running, now)}")


def _draw_model(entry: CatalogueEntry) -> None:
    engine = runtime.get_engine().client.health
    said = model_wording.speculation(entry, get_trials().reason(entry.name))
    with st.container(key=f"model_{entry.name}", border=True):
        what, actions = st.columns([3, 2], vertical_alignment="center", gap="small")
        with what, st.container(gap="xxsmall"):
            with st.container(key=f"name_of_{entry.name}"):
                st.text(model_wording.model_name(entry))
            st.caption(literal(model_wording.facts(entry)))
            st.caption(literal(f"{model_wording.place(entry, engine)} {said}"))
        with actions, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            _draw_actions(entry)


def _draw_actions(entry: CatalogueEntry) -> None:
    if can_answer(entry) and st.button("Chat with it", key=f"chat_{entry.name}"):
        model_choice.choose(entry.name)
        st.switch_page("chat.py")
    if entry.fitness == "untried":
        is_running = get_trials().is_running(entry.name)
        st.button(
            "Being tried\N{HORIZONTAL ELLIPSIS}" if is_running else "Try it",
            disabled=is_running,
            help="Loads it once in a process of its own, to see whether it can speculate.",
            on_click=get_trials().start,
            args=(entry, get_settings(), runtime.get_engine()),
            key=f"try_{entry.name}",
        )
    if entry.running is not None:
        st.button(
            "Unload",
            help="Takes it out of Ollama's memory.",
            on_click=unload,
            args=(entry.running.name,),
            key=f"unload_{entry.name}",
        )
    if entry.is_in_ollama and st.button(
        "Delete\N{HORIZONTAL ELLIPSIS}", type="tertiary", key=f"delete_{entry.name}"
    ):
        ask_before_deleting(entry.name)
