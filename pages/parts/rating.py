"""What a reader thinks of an answer: thumbs, and how fast it felt, from one star to five."""

from __future__ import annotations

import streamlit as st

from pages.parts import session
from utils.chat.conversation import Conversation, Turn
from utils.errors import StorageError
from utils.experiments.ratings import NO_RATING, SLOWEST, Rating, load_rating, save_rating
from utils.storage import database


def draw_rating(turn: Turn, conversation: Conversation) -> None:
    """Draw the ratings of a finished answer, as they were given; none in a temporary chat."""
    if turn.answer is None or conversation.is_temporary:
        return
    thumb, speed = _keys(turn.job_id)
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
        st.feedback("thumbs", key=thumb, on_change=_keep, args=(turn.job_id,))
        st.caption("Speed", width="content")
        st.feedback("stars", key=speed, on_change=_keep, args=(turn.job_id,))


def _keys(answer_id: str) -> tuple[str, str]:
    return f"thumb_{answer_id}", f"speed_{answer_id}"


def _given(answer_id: str) -> Rating:
    try:
        return load_rating(database.get_database(), answer_id)
    except StorageError:
        return NO_RATING


def _keep(answer_id: str) -> None:
    thumb, speed = (st.session_state[key] for key in _keys(answer_id))
    rating = Rating(
        None if thumb is None else bool(thumb), None if speed is None else speed + SLOWEST
    )
    try:
        save_rating(database.get_database(), answer_id, rating)
    except StorageError as error:
        session.leave_notice(f"the rating is not kept: {error}")
