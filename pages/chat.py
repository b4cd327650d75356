"""The chat: a conversation, how its next answer is written, and how fast it came."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.parts import session
from pages.parts.answers import draw_charts_beside, draw_turn
from pages.parts.attachments import read_uploads
from pages.parts.context_meter import draw_context_meter
from pages.parts.guests import draw_guest_note
from pages.parts.header import draw_header
from pages.parts.settings import draw_settings, settle_settings, shows_sources
from pages.parts.turn_actions import ask
from pages.parts.welcome import draw_welcome
from pages.parts.window import draw_earlier_button, first_shown
from utils.chat.attached_files import TEXT_TYPES
from utils.chat.conversation import Conversation
from utils.errors import RequestError

PROMPT = "prompt"
STYLE = Path(__file__).parent / "parts" / "chat.css"


def submit() -> None:
    """Ask what was typed; what cannot be asked now goes back into the input."""
    typed = st.session_state[PROMPT]
    try:
        is_asked = ask(typed.text, read_uploads(typed.files))
    except RequestError as error:
        session.leave_notice(str(error))
        is_asked = False
    if not is_asked:
        st.session_state[PROMPT] = typed.text


def draw_stop(conversation: Conversation) -> None:
    """Draw the button alone: the text of the answer tells its end."""
    st.button(
        "Stop",
        icon=":material/stop_circle:",
        on_click=conversation.stop,
        shortcut="Esc",
        key="stop",
    )


st.html(STYLE)
settle_settings()
conversation = session.open_conversation()
turns, is_own = conversation.turns, session.is_own(conversation)
head = st.container()

if not turns:
    draw_welcome(ask)
first = first_shown(conversation)
draw_earlier_button(conversation, first)
charts = None
for turn in turns[first:]:
    charts = draw_turn(turn, conversation, is_last=turn is turns[-1], shows_sources=shows_sources())

# What is read first is drawn first; the header tells of settings, so that it comes after them.
draw_settings()
with head:
    draw_header(conversation)
    draw_guest_note(conversation)
session.show_notice()
with st.bottom:
    draw_context_meter(conversation)
    if conversation.is_answering and is_own:
        with st.container():
            st.fragment(draw_stop)(conversation)
st.chat_input(
    "Ask something" if is_own else "Another browser's chat: copy it to go on",
    key=PROMPT,
    on_submit=submit,
    max_chars=100_000,
    accept_file="multiple",
    file_type=TEXT_TYPES,
    max_upload_size=1,
    disabled=not is_own,
)
if charts is not None:
    draw_charts_beside(turns[-1], charts)
