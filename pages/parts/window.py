"""Which turns of a long conversation are drawn: the newest, and earlier ones on request.

A page costs what is drawn of it, at every click. The first turn drawn changes only once in `STEP`
questions, so that what is drawn stays where it is meanwhile.
"""

from __future__ import annotations

from typing import cast

import streamlit as st

from utils.chat.conversation import Conversation

STEP, EARLIER = 2, 8
_EXTRA = "earlier_turns"


def first_shown(conversation: Conversation) -> int:
    """Return the index of the first turn to be drawn: `STEP` turns at least, if there are."""
    shown_of, extra = cast("tuple[str, int]", st.session_state.get(_EXTRA, ("", 0)))
    newest = (len(conversation.turns) // STEP - 1) * STEP
    return max(0, newest - (extra if shown_of == conversation.id else 0))


def draw_earlier_button(conversation: Conversation, first: int) -> None:
    """Draw the button that has earlier turns drawn, where there are any."""
    if first:
        st.button(
            f"Show earlier questions ({first} more)",
            icon=":material/expand_less:",
            type="tertiary",
            on_click=_show_earlier,
            args=(conversation.id,),
            width="stretch",
            key="show_earlier",
        )


def _show_earlier(conversation_id: str) -> None:
    shown_of, extra = cast("tuple[str, int]", st.session_state.get(_EXTRA, ("", 0)))
    more = (extra if shown_of == conversation_id else 0) + EARLIER
    st.session_state[_EXTRA] = (conversation_id, more)
