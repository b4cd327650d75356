"""The answers that were kept: a table by model and draft, and the choice of which to look at."""

from __future__ import annotations

import streamlit as st

from pages.parts import session
from utils.chat import performance_wording as wording
from utils.chat.answer_groups import AnswerGroup, group_answers
from utils.chat.answer_history import AnswerFigures, list_answers, load_answer
from utils.chat.markdown import literal
from utils.chat.snapshots import JobSnapshot
from utils.chat.wording import sentence
from utils.errors import StorageError
from utils.storage import database

GROUP, ANSWER = "performance_group", "performance_answer"
MOST_ANSWERS = 500
MOST_TOGETHER = 20
POLL_S = 2.0
TOGETHER = ""
_Seen = tuple[str, str, int]


def read_groups() -> list[AnswerGroup]:
    """Return the ended answers of this browser by model and draft, those used last first."""
    try:
        return group_answers(list_answers(database.get_database(), session.owner(), MOST_ANSWERS))
    except StorageError as error:
        st.error(literal(sentence(str(error))), icon=":material/error:")
        return []


def draw_nothing_yet() -> None:
    """Say how there come to be answers to look at."""
    st.markdown(
        "No answer has been measured yet. Ask something in the chat: how fast it came, and why, is "
        "then shown here. Temporary chats leave nothing behind."
    )
    st.page_link("chat.py", label="Go to the chat", icon=":material/forum:")


def draw_groups(groups: list[AnswerGroup]) -> None:
    """Draw a row for each model and draft: their median speed, and more."""
    st.caption("What your kept answers measured on this machine; speeds are medians of answers.")
    rows = [
        {name: literal(value) for name, value in wording.group_row(group).items()}
        for group in groups
    ]
    st.table(rows, border="horizontal", hide_index=True, alt="Answers by model and draft")


def choose_group(groups: list[AnswerGroup]) -> AnswerGroup:
    """Draw the choice of a model and its draft, where there are several."""
    by_key = {"\n".join(group.key): group for group in groups}
    if st.session_state.get(GROUP) not in by_key:
        st.session_state[GROUP] = next(iter(by_key))
    key = st.selectbox(
        "Model and draft",
        list(by_key),
        format_func=lambda key: wording.group_label(by_key[key]) if key in by_key else "",
        key=GROUP,
    )
    return by_key[key]


def choose_answers(group: AnswerGroup) -> tuple[JobSnapshot, ...]:
    """Draw the choice of an answer, and return it, or the newest ones together, newest first."""
    answers = {answer.turn_id: (number, answer) for number, answer in group.numbered}
    newest = next(iter(answers))
    offered = [*answers, TOGETHER] if len(answers) > 1 else [newest]
    if st.session_state.get(ANSWER) not in offered:
        st.session_state[ANSWER] = newest
    count = min(MOST_TOGETHER, len(answers))

    def label(turn_id: str) -> str:
        if turn_id == TOGETHER:
            return "All together" if count < MOST_TOGETHER else f"The newest {count} together"
        return wording.answer_label(*answers[turn_id]) if turn_id in answers else ""

    chosen = st.selectbox("Answer", offered, format_func=label, key=ANSWER)
    wanted = group.answers[:count] if chosen == TOGETHER else (answers[chosen][1],)
    found = tuple(answer for figures in wanted if (answer := _load(figures)) is not None)
    if not found:
        st.info("This answer is not there any more: it was deleted in another window.")
    return found


def watch_answers() -> None:
    """Have the page drawn again when an answer has ended meanwhile."""
    with st.container():
        st.fragment(_watch, run_every=POLL_S)(_newest())


def _watch(drawn: _Seen | None) -> None:
    if _newest() != drawn:
        st.rerun()


def _newest() -> _Seen | None:
    """Return what tells whether there is anything new."""
    try:
        answers = list_answers(database.get_database(), session.owner(), 1)
    except StorageError:
        # The page says so already.
        return None
    return (answers[0].turn_id, answers[0].state, answers[0].completion_tokens) if answers else None


def _load(figures: AnswerFigures) -> JobSnapshot | None:
    try:
        return _kept(figures.turn_id, figures.state, figures.completion_tokens)
    except StorageError:
        return None


@st.cache_resource(max_entries=128, show_spinner=False)
def _kept(turn_id: str, state: str, tokens: int) -> JobSnapshot | None:
    """Return an answer, read once while it stays what it is; nothing changes a snapshot."""
    return load_answer(database.get_database(), turn_id)
