"""The header: the name, and a badge that says which mode answers are written in, and why."""

from __future__ import annotations

import streamlit as st

from pages.parts import model_choice, session
from pages.parts.settings import HEADER, draft_label, drafting_problem, read_settings
from utils.chat import model_wording, wording
from utils.chat.conversation import Conversation
from utils.chat.jobs import get_board
from utils.chat.markdown import literal
from utils.chat.shelf import get_shelf
from utils.chat.snapshots import JobSnapshot
from utils.engine import runtime
from utils.errors import RequestError

POLL_S = 1.0
IDLE_POLL_S = 5.0
COLORS = {"good": "green", "quiet": "gray", "busy": "orange", "bad": "red"}
NAME_STYLE = (
    "font-size: 1.25rem; font-weight: 600; line-height: 1.2; letter-spacing: -0.005em; "
    "margin: 0; padding: 0"
)
ICONS = {
    "good": ":material/bolt:",
    "quiet": ":material/horizontal_rule:",
    "busy": ":material/hourglass_top:",
    "bad": ":material/error:",
}


def draw_header(conversation: Conversation) -> None:
    """Draw name and badge, and keep the badge true."""
    engine = runtime.get_engine()
    ready = engine.client.health.ready
    is_starting = not engine.startup.snapshot().is_complete
    is_loading = model_choice.loading().is_running
    writing = _writing_elsewhere(conversation)
    waits = conversation.is_answering or is_starting or is_loading or not ready
    # Streamlit may drop what a fragment drew until it runs again: alone in a container it leaves
    # a gap there and shifts nothing that follows.
    with st.container():
        st.fragment(_draw, run_every=POLL_S if waits or writing else IDLE_POLL_S, key=HEADER)(
            conversation, drawn=(ready, is_loading, writing, _listed())
        )


def _draw(conversation: Conversation, *, drawn: tuple[object, ...]) -> None:
    engine = runtime.get_engine()
    shown = _badge(conversation)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _draw_name(is_title=bool(conversation.turns))
        st.badge(shown.label, icon=ICONS[shown.tone], color=COLORS[shown.tone])
        st.caption(literal(shown.reason), width="content")
    if line := wording.startup_line(engine.startup.snapshot()):
        st.caption(literal(line[0].upper() + line[1:]))
    model_choice.read_catalogue()
    ready, is_loading = engine.client.health.ready, model_choice.loading().is_running
    if drawn != (ready, is_loading, _writing_elsewhere(conversation), _listed()):
        st.rerun()


def _draw_name(*, is_title: bool) -> None:
    """Draw the name, as the title of the page where that has no other.

    Streamlit has titles of one size, and a style that came later would have the name jump.
    """
    tag = "h1" if is_title else "p"
    st.html(f'<{tag} style="{NAME_STYLE}">SpecChat</{tag}>', width="content")


def _badge(conversation: Conversation) -> wording.Badge:
    health, answer = runtime.get_engine().client.health, _running(conversation)
    try:
        speculative = read_settings().speculative
    except RequestError as error:
        return wording.Badge("Settings", str(error), "bad")
    return model_wording.target_badge(
        model_choice.current_target(),
        health,
        answer,
        model_choice.loading(),
        problem=drafting_problem(),
    ) or wording.badge(health, speculative, answer, draft=draft_label())


def _listed() -> tuple[object, ...]:
    """Return what the page draws of the models: with another value it is to be drawn again."""
    catalogue = runtime.get_engine().catalogue.current
    entries = [
        (entry.name, entry.fitness, entry.capabilities, entry.defaults)
        for entry in catalogue.entries
    ]
    return (catalogue.ollama_problem, *entries)


def _writing_elsewhere(conversation: Conversation) -> frozenset[str]:
    """Return the other chats that the list marks: the end of an answer is to be seen there."""
    return get_shelf().answering(session.owner()) - {conversation.id}


def _running(conversation: Conversation) -> JobSnapshot | None:
    turns = conversation.turns
    job = get_board().find(turns[-1].job_id) if turns and turns[-1].answer is None else None
    return job.snapshot() if job else None
