"""Chats and comparisons of other browsers: who has the address reads them, and changes nothing."""

from __future__ import annotations

import streamlit as st

from pages.parts import browser, session
from pages.parts.race import is_own
from utils.chat.conversation import Conversation
from utils.chat.exports import to_parts
from utils.chat.imports import from_parts
from utils.chat.race_runs import Race
from utils.chat.shelf import get_shelf
from utils.errors import RequestError


def draw_guest_note(conversation: Conversation) -> None:
    """Say that a chat is another's, and offer a copy; nothing where it is one's own."""
    if session.is_own(conversation):
        return
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", gap="small", key="guest_note"
    ):
        st.markdown(
            f":material/visibility: {_reason('chat', 'read and copied, not changed')}",
            width="content",
        )
        # What is being written would be cut off in the copy.
        st.button(
            "Copy to my chats",
            icon=":material/content_copy:",
            on_click=_copy,
            args=(conversation,),
            disabled=conversation.is_answering or conversation.is_written_elsewhere,
            key="copy_chat",
        )


def draw_race_note(race: Race) -> None:
    """Say that a comparison is another's; nothing where it is one's own."""
    if not is_own(race):
        with st.container(border=True, key="race_guest_note"):
            rights = "looked at, not stopped, voted on or deleted"
            st.markdown(f":material/visibility: {_reason('comparison', rights)}")


def _reason(what: str, rights: str) -> str:
    """Say why so little can be done here: without cookies, one's own are those of another."""
    reason = f"This {what} belongs to another browser: here it can be {rights}."
    if browser.browser_id():
        return reason
    next_step = "copy the chat to go on with it, and " if what == "chat" else ""
    return (
        f"{reason} Without cookies this browser is taken for another one after each reload: "
        f"{next_step}allow cookies for this address to keep the next ones."
    )


def _copy(conversation: Conversation) -> None:
    """Make a chat like it that is one's own, and open that."""
    try:
        copied = from_parts(to_parts(conversation), session.owner()).conversation
    except RequestError as error:
        session.leave_notice(f"the chat is not copied: {error}")
        return
    get_shelf().put(copied)
    session.show_conversation(copied.id)
    session.leave_notice(f"the chat is copied: {copied.title}")
