"""What a browser session holds: its conversation, and a notice to show once."""

from __future__ import annotations

from typing import cast

import streamlit as st

from utils.chat.conversation import AnswerSettings, Conversation, get_shelf
from utils.chat.jobs import get_board
from utils.chat.markdown import literal
from utils.engine import runtime
from utils.errors import RequestError

PARAMETER = "chat"
_CONVERSATION = "conversation"
_NOTICE = "notice"
_OWNER = "owner"


def open_conversation() -> Conversation:
    """Return the conversation of this session: a reload or a second tab finds it by the address."""
    wanted = st.query_params.get(PARAMETER)
    held = cast("Conversation | None", st.session_state.get(_CONVERSATION))
    if held is None or (wanted and wanted != held.id):
        held = (get_shelf().find(wanted) if wanted else None) or Conversation(owner=_owner())
        st.session_state[_CONVERSATION] = held
        st.session_state[_OWNER] = held.owner
    if held.turns:
        st.query_params[PARAMETER] = held.id
    elif wanted:
        del st.query_params[PARAMETER]
    return held


def start_new_conversation() -> None:
    """Put an empty conversation in place of the one shown; a running answer goes on."""
    st.query_params.pop(PARAMETER, None)
    st.session_state[_CONVERSATION] = Conversation(owner=_owner())


def ask(question: str, settings: AnswerSettings) -> None:
    """Begin an answer, or leave a notice that says why not."""
    conversation = open_conversation()
    try:
        conversation.ask(question, settings, board=get_board(), runtime=runtime.get_engine())
        get_shelf().put(conversation)
    except RequestError as error:
        leave_notice(str(error))


def ask_again(settings: AnswerSettings) -> None:
    """Write the last answer again, or leave a notice that says why not."""
    try:
        open_conversation().regenerate(settings, board=get_board(), runtime=runtime.get_engine())
    except RequestError as error:
        leave_notice(str(error))


def stop_answer() -> None:
    """Stop the answer that is being written; its text stays."""
    turns = open_conversation().turns
    job = get_board().find(turns[-1].job_id) if turns else None
    if job is not None:
        job.cancel()


def leave_notice(text: str) -> None:
    """Keep a sentence for the next drawing of the page."""
    st.session_state[_NOTICE] = text


def show_notice() -> None:
    """Show the sentence left, once."""
    if notice := cast("str | None", st.session_state.pop(_NOTICE, None)):
        st.toast(literal(notice), icon=":material/info:")


def _owner() -> str:
    """Return whose conversations these are: the same over all of a browser session."""
    return cast("str", st.session_state.get(_OWNER, ""))
