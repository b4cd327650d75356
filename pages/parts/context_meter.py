"""How full the context of the model is, and what of the conversation no longer fits in."""

from __future__ import annotations

import streamlit as st

from utils.chat.context_filling import context_filling
from utils.chat.conversation import Conversation
from utils.chat.jobs import get_board
from utils.chat.snapshots import JobSnapshot
from utils.engine import runtime

METER_S = 2.0


def draw_context_meter(conversation: Conversation) -> None:
    """Draw the meter, again and again while an answer is written."""
    if not conversation.turns:
        return
    is_live = conversation.turns[-1].answer is None
    with st.container(key="context_meter", width="stretch"):
        st.fragment(_draw, run_every=METER_S if is_live else None)(conversation)


def _draw(conversation: Conversation) -> None:
    answer = _newest(conversation)
    if answer is None:
        return
    filling = context_filling(answer, runtime.get_engine().client.health.model)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if filling.total:
            st.progress(filling.share, width=96)
            st.caption(filling.line, width="content")
        if filling.note:
            st.caption(filling.note, width="content")


def _newest(conversation: Conversation) -> JobSnapshot | None:
    """Return the newest answer of which the prompt is known."""
    for turn in reversed(conversation.turns):
        job = get_board().find(turn.job_id) if turn.answer is None else None
        answer = job.snapshot() if job else turn.answer
        if answer is not None and answer.stats.prompt_tokens:
            return answer
    return None
