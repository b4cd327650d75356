"""The chats of a person: listed by day, searched, opened, renamed, deleted and brought back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import streamlit as st

from pages.parts import session
from pages.parts.attention import draw_focus, draw_leaving, leave_sidebar
from pages.parts.browser import time_zone
from pages.parts.rows import Row, draw_row
from pages.parts.transfer import ask_for_export, ask_for_import, draw_transfer
from utils.chat.archive import ConversationSummary, get_archive
from utils.chat.markdown import literal
from utils.chat.shelf import get_shelf
from utils.chat.wording import sentence
from utils.errors import RequestError, StorageError

STYLE = Path(__file__).with_name("sidebar.css")
# As many as are in view: each more costs the browser at every click, wherever that is.
LISTED, FOUND = 7, 20
UNDO_S = 60.0
QUERY, QUERY_CHARS = "chat_query", 200
TEMPORARY, IMPORT = "New temporary chat", "Import a chat"
_LIMIT = "chats_listed"
_DELETED = "deleted_chat"
_SEARCHING = "searching_chats"


def draw_conversations() -> None:
    """Draw the list, and what was asked for of it."""
    st.html(STYLE)
    with st.sidebar:
        _draw_commands()
        if session.open_conversation().is_temporary:
            st.caption(
                ":material/visibility_off: Temporary chat: in no list, on no disk, and gone with "
                "the app."
            )
        if problem := get_shelf().problem:
            st.caption(f":material/warning: {literal(sentence(problem))}")
        try:
            _draw_undo()
            _draw_list()
        except StorageError as error:
            # What is not kept for the same reason is told already.
            if not problem:
                st.caption(literal(sentence(f"chats cannot be listed: {error}")))
    draw_leaving()
    if st.session_state.get(_SEARCHING):
        _draw_search()
    else:
        draw_transfer()


def group_by_day(
    chats: Iterable[ConversationSummary], now: datetime
) -> Mapping[str, list[ConversationSummary]]:
    """Return chats under what their day is called in the time zone of `now`, in their order."""
    today = now.date()
    groups: dict[str, list[ConversationSummary]] = {}
    for chat in chats:
        day = datetime.fromtimestamp(chat.updated_at, now.tzinfo).date()
        is_new, is_yesterday = day >= today, day == today - timedelta(days=1)
        name = "Today" if is_new else "Yesterday" if is_yesterday else "Earlier"
        groups.setdefault(name, []).append(chat)
    return groups


def _draw_commands() -> None:
    st.button(
        "New chat",
        icon=":material/edit_square:",
        on_click=_start,
        shortcut="Mod+Shift+O",
        width="stretch",
        key="new_chat",
    )
    with st.container(horizontal=True, gap="xsmall", wrap=False, key="chat_commands"):
        st.button(
            "Search",
            icon=":material/search:",
            on_click=_search,
            shortcut="Mod+K",
            width="stretch",
            key="search_chats",
        )
        st.menu_button(
            "More about chats",
            [TEMPORARY, IMPORT],
            icon=":material/more_vert:",
            on_click=_begin,
            key="icon_only_chats",
        )


def _start(*, is_temporary: bool = False) -> None:
    session.start_new_conversation(is_temporary=is_temporary)
    leave_sidebar()


def _open(chat_id: str) -> None:
    session.show_conversation(chat_id)
    leave_sidebar()


def _begin() -> None:
    if st.session_state["icon_only_chats"] == TEMPORARY:
        _start(is_temporary=True)
    else:
        ask_for_import()


def _draw_undo() -> None:
    deleted = cast("tuple[str, str, float] | None", st.session_state.get(_DELETED))
    if deleted is None or time.monotonic() - deleted[2] > UNDO_S:
        st.session_state.pop(_DELETED, None)
        return
    chat_id, title, _ = deleted
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", key="undo_row"):
        st.caption(literal(f"Deleted: {title}"), width="stretch")
        st.button(
            "Undo", icon=":material/undo:", on_click=_restore, args=(chat_id,), key="undo_delete"
        )


def _draw_list() -> None:
    limit = st.session_state.get(_LIMIT, LISTED)
    # One more than is shown tells whether there are more.
    chats = get_archive().list(session.owner(), limit=limit + 1)
    if not chats:
        return
    answering = get_shelf().answering(session.owner())
    open_id = session.open_conversation().id
    with st.container(key="chat_list", gap="xxsmall"):
        for day, group in group_by_day(chats[:limit], datetime.now(time_zone())).items():
            st.caption(day)
            for chat in group:
                draw_row(_row(chat, is_open=chat.id == open_id, is_busy=chat.id in answering))
        if len(chats) > limit:
            st.button(
                "Show older chats",
                type="tertiary",
                icon=":material/expand_more:",
                on_click=_show_older,
                key="older_chats",
            )


def _row(chat: ConversationSummary, *, is_open: bool, is_busy: bool) -> Row:
    return Row(
        key=f"chat_{chat.id}",
        name=chat.title,
        select=partial(_open, chat.id),
        rename=partial(_rename, chat.id),
        actions={
            "Export": partial(ask_for_export, chat.id),
            "Delete": partial(_delete, chat.id, chat.title),
        },
        is_selected=is_open,
        note="Its answer is still being written" if is_busy else "",
    )


def _rename(chat_id: str, title: str) -> None:
    try:
        get_archive().rename(chat_id, title)
    except (RequestError, StorageError) as error:
        session.leave_notice(f"the chat is not renamed: {error}")


def _delete(chat_id: str, title: str) -> None:
    is_open = session.open_conversation().id == chat_id
    try:
        get_archive().delete(chat_id)
    except StorageError as error:
        session.leave_notice(f"the chat is not deleted: {error}")
        return
    st.session_state[_DELETED] = (chat_id, title, time.monotonic())
    if is_open:
        session.start_new_conversation()


def _restore(chat_id: str) -> None:
    st.session_state.pop(_DELETED, None)
    try:
        get_archive().restore(chat_id)
    except StorageError as error:
        session.leave_notice(f"the chat is not brought back: {error}")
        return
    session.show_conversation(chat_id)


def _show_older() -> None:
    st.session_state[_LIMIT] = 2 * st.session_state.get(_LIMIT, LISTED)


def _search() -> None:
    st.session_state[_SEARCHING] = True


def _end_search() -> None:
    st.session_state.pop(_SEARCHING, None)


@st.dialog("Search chats", width="medium", on_dismiss=_end_search)
def _draw_search() -> None:
    query = st.text_input(
        "Words of a question or an answer",
        type="search",
        live=True,
        key=QUERY,
    )
    draw_focus(QUERY)
    try:
        found = get_archive().list(session.owner(), (query or "")[:QUERY_CHARS], limit=FOUND)
    except StorageError as error:
        st.error(literal(sentence(f"chats cannot be searched: {error}")))
        return
    if not found:
        st.caption("No chat has these words." if query else "There are no chats yet.")
    with st.container(key="chat_results", gap="xxsmall"):
        for chat in found:
            if st.button(
                literal(chat.title), type="tertiary", width="stretch", key=f"found_{chat.id}"
            ):
                _end_search()
                _open(chat.id)
                st.rerun()
            if chat.snippet:
                st.caption(literal(chat.snippet))
