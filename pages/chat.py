"""The chat: a conversation, how its next answer is written, and how fast it came."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.parts import session
from pages.parts.answers import draw_earlier_answer, draw_last_answer, draw_question
from pages.parts.header import draw_header
from pages.parts.settings import draw_settings, read_settings, shows_sources
from pages.parts.welcome import draw_welcome
from utils.errors import RequestError

PROMPT = "prompt"
STYLE = Path(__file__).parent / "parts" / "chat.css"


def submit() -> None:
    """Ask what was typed; what cannot be asked now goes back into the input."""
    question = st.session_state[PROMPT]
    if session.open_conversation().is_answering:
        session.leave_notice("an answer is still being written: wait for its end, or stop it")
        st.session_state[PROMPT] = question
    else:
        ask(question)


def ask(question: str) -> None:
    """Ask with the settings as they stand."""
    try:
        session.ask(question, read_settings())
    except RequestError as error:
        session.leave_notice(str(error))


def regenerate() -> None:
    """Write the last answer again with the settings as they stand."""
    try:
        session.ask_again(read_settings())
    except RequestError as error:
        session.leave_notice(str(error))


st.html(STYLE)
draw_settings()
conversation = session.open_conversation()
turns = conversation.turns
draw_header(conversation)

if not turns:
    draw_welcome(ask)
for turn in turns[:-1]:
    draw_question(turn)
    draw_earlier_answer(turn, shows_sources=shows_sources())
if turns:
    draw_question(turns[-1])
    draw_last_answer(turns[-1], shows_sources=shows_sources())

session.show_notice()
if turns and turns[-1].answer is not None:
    st.button(
        "Regenerate", icon=":material/refresh:", type="tertiary", on_click=regenerate, key="again"
    )
if conversation.is_answering:
    st.bottom.button(
        "Stop",
        icon=":material/stop_circle:",
        on_click=session.stop_answer,
        shortcut="Esc",
        key="stop",
    )
st.chat_input("Ask something", key=PROMPT, on_submit=submit, max_chars=100_000)
