"""What a reader thinks of an answer: thumbs, and how fast it felt, from one star to five."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import streamlit as st

from pages.parts import session
from utils.chat.conversation import Conversation, Turn
from utils.errors import StorageError
from utils.experiments.ratings import NO_RATING, SLOWEST, Rating, load_rating, save_rating
from utils.storage import database

Part = Literal["thumb", "speed"]


def draw_rating(turn: Turn, conversation: Conversation) -> None:
    """Draw the ratings of a finished answer, as they were given.

    There are none in a temporary chat, and in that of another.
    """
    if turn.answer is None or conversation.is_temporary or not session.is_own(conversation):
        return
    thumb, speed = _key("thumb", turn.job_id), _key("speed", turn.job_id)
    if thumb not in st.session_state or speed not in st.session_state:
        given = _given(turn.job_id)
        st.session_state[thumb] = None if given.thumb is None else int(given.thumb)
        st.session_state[speed] = None if given.speed is None else given.speed - SLOWEST
    with st.container(
        key=f"rating_{turn.job_id}",
        horizontal=True,
        vertical_alignment="center",
        gap="small",
        width="content",
    ):
        st.feedback("thumbs", key=thumb, on_change=_keep, args=("thumb", turn.job_id))
        st.caption("Speed", width="content")
        st.feedback("stars", key=speed, on_change=_keep, args=("speed", turn.job_id))


def _key(part: Part, answer_id: str) -> str:
    return f"{part}_{answer_id}"


def _given(answer_id: str) -> Rating:
    try:
        return load_rating(database.get_database(), answer_id)
    except StorageError:
        return NO_RATING


def _keep(part: Part, answer_id: str) -> None:
    """Keep the part that was changed, and leave the other as another tab may have set it."""
    said = st.session_state[_key(part, answer_id)]
    held = database.get_database
    try:
        known = load_rating(held(), answer_id)
        if part == "thumb":
            rating = replace(known, thumb=None if said is None else bool(said))
        else:
            rating = replace(known, speed=None if said is None else said + SLOWEST)
        save_rating(held(), answer_id, rating)
    except StorageError as error:
        session.leave_notice(f"the rating is not kept: {error}")
