"""A chat of another browser: it can be read by whoever has its address, and copied, not changed."""

from __future__ import annotations

import streamlit as st

from pages.parts import session
from utils.chat.conversation import Conversation
from utils.chat.exports import from_json, to_json
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
            ":material/visibility: This chat belongs to another browser: here it can be read and "
            "copied, not changed.",
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


def _copy(conversation: Conversation) -> None:
    """Make a chat like it that is one's own, and open that."""
    try:
        copied = from_json(to_json(conversation), session.owner()).conversation
    except RequestError as error:
        session.leave_notice(f"the chat is not copied: {error}")
        return
    get_shelf().put(copied)
    session.show_conversation(copied.id)
    session.leave_notice(f"copied: {copied.title}")
