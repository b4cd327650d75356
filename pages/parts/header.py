"""The header: the name, and a badge that says which mode answers are written in, and why."""

from __future__ import annotations

import streamlit as st

from pages.parts.settings import draft_label, read_settings
from utils.chat import wording
from utils.chat.conversation import Conversation
from utils.chat.jobs import get_board
from utils.chat.markdown import literal
from utils.chat.snapshots import JobSnapshot
from utils.engine import runtime
from utils.errors import RequestError

POLL_S = 1.0
IDLE_POLL_S = 5.0
COLORS = {"good": "green", "quiet": "gray", "busy": "orange", "bad": "red"}
ICONS = {
    "good": ":material/bolt:",
    "quiet": ":material/horizontal_rule:",
    "busy": ":material/hourglass_top:",
    "bad": ":material/error:",
}


def draw_header(conversation: Conversation) -> None:
    """Draw name and badge, and keep the badge true."""
    ready = runtime.get_engine().client.health.ready
    waits = conversation.is_answering or not ready
    # Streamlit may drop what a fragment drew until it runs again: alone in a container it leaves
    # a gap there and shifts nothing that follows.
    with st.container():
        st.fragment(_draw, run_every=POLL_S if waits else IDLE_POLL_S)(conversation, ready=ready)


def _draw(conversation: Conversation, *, ready: bool) -> None:
    health = runtime.get_engine().client.health
    try:
        shown = wording.badge(
            health, read_settings().speculative, _running(conversation), draft=draft_label()
        )
    except RequestError as error:
        shown = wording.Badge("Settings", str(error), "bad")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("SpecChat", anchor=False, width="content")
        st.badge(shown.label, icon=ICONS[shown.tone], color=COLORS[shown.tone])
        st.caption(literal(shown.reason), width="content")
    if health.ready != ready:
        st.rerun()


def _running(conversation: Conversation) -> JobSnapshot | None:
    turns = conversation.turns
    job = get_board().find(turns[-1].job_id) if turns and turns[-1].answer is None else None
    return job.snapshot() if job else None
