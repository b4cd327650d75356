"""What a browser session holds: its conversation, whose it is, and a notice to show once."""

from __future__ import annotations

import secrets
from typing import cast

import streamlit as st

from pages.parts import browser
from utils.chat.conversation import Conversation
from utils.chat.markdown import literal
from utils.chat.shelf import get_shelf
from utils.chat.wording import sentence

PARAMETER = "chat"
_CONVERSATION = "conversation"
_NOTICE = "notice"
_OWNER = "owner"


def owner() -> str:
    """Return whose conversations and settings these are: the browser's, or this session's."""
    if known := browser.browser_id():
        return known
    if _OWNER not in st.session_state:
        st.session_state[_OWNER] = secrets.token_urlsafe(16)
    return cast("str", st.session_state[_OWNER])


def open_conversation() -> Conversation:
    """Return the conversation of this session: a reload or a second tab finds it by the address."""
    wanted = st.query_params.get(PARAMETER)
    held = cast("Conversation | None", st.session_state.get(_CONVERSATION))
    if held is not None and held.is_deleted:
        leave_notice("this chat was deleted in another window")
        held = wanted = None
    if held is None or (wanted and wanted != held.id):
        held = (_found(wanted) if wanted else None) or Conversation(owner=owner())
        st.session_state[_CONVERSATION] = held
    if not held.turns:
        st.query_params.pop(PARAMETER, None)
    elif wanted != held.id:
        # Whatever is put there is sent to the browser, the same once more too.
        st.query_params[PARAMETER] = held.id
    return held


def is_own(conversation: Conversation) -> bool:
    """Tell whether this browser may change a conversation: others that know its address read it."""
    return conversation.owner == owner()


def show_conversation(conversation_id: str) -> None:
    """Put a conversation that is kept in place of the one shown; a running answer goes on."""
    found = get_shelf().find(conversation_id)
    if found is None:
        leave_notice("this chat is not there any more: it was deleted in another window")
        return
    st.session_state[_CONVERSATION] = found
    st.query_params[PARAMETER] = found.id


def start_new_conversation(*, is_temporary: bool = False) -> None:
    """Put an empty conversation in place of the one shown; a running answer goes on.

    What is said in a temporary one is kept nowhere, and nothing is learnt of it for others.
    """
    st.query_params.pop(PARAMETER, None)
    st.session_state[_CONVERSATION] = Conversation(owner=owner(), is_temporary=is_temporary)


def _found(conversation_id: str) -> Conversation | None:
    """Return a conversation that may be read here; a temporary one is for nobody else."""
    found = get_shelf().find(conversation_id)
    return None if found is not None and found.is_temporary and not is_own(found) else found


def leave_notice(text: str) -> None:
    """Keep a sentence for the next drawing of the page."""
    st.session_state[_NOTICE] = text


def show_notice() -> None:
    """Show the sentence left, once."""
    if notice := cast("str | None", st.session_state.pop(_NOTICE, None)):
        st.toast(literal(sentence(notice)), icon=":material/info:")
