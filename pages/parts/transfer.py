"""Chats as files: one saved for reading or for another machine, and one read in again."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import streamlit as st

from pages.parts import session
from utils.chat.conversation import Conversation
from utils.chat.exports import MAX_FILE_MB, from_json, to_json, to_markdown
from utils.chat.markdown import literal
from utils.chat.shelf import get_shelf
from utils.chat.wording import sentence
from utils.errors import RequestError, SpecChatError, StorageError
from utils.experiments.ratings import load_ratings, save_ratings
from utils.storage import database

NAME_CHARS = 60
_EXPORTED, _IMPORTING = "exported_chat", "importing_chat"


def ask_for_export(conversation_id: str) -> None:
    """Have the choice of files drawn for a chat."""
    st.session_state[_EXPORTED] = conversation_id


def ask_for_import() -> None:
    """Have the field drawn that takes a file."""
    st.session_state[_IMPORTING] = True


def draw_transfer() -> None:
    """Draw what was asked for; only one dialog can be open."""
    wanted = st.session_state.get(_EXPORTED)
    found = get_shelf().find(wanted) if wanted else None
    if found is not None:
        _draw_export(found)
    elif st.session_state.get(_IMPORTING):
        _draw_import()


def file_name(title: str, ending: str) -> str:
    """Return a name for a file that every system takes."""
    name = re.sub(r"[^\w-]+", "-", title).strip("-")[:NAME_CHARS].strip("-")
    return f"{name or 'chat'}.{ending}"


def rated_json(conversation: Conversation) -> str:
    """Return all of a chat; what cannot be read of its ratings is not in it."""
    try:
        answers = [turn.job_id for turn in conversation.all_turns]
        return to_json(conversation, load_ratings(database.get_database(), answers))
    except StorageError:
        return to_json(conversation)


def _encoded(write: Callable[[Conversation], str], conversation: Conversation) -> bytes:
    return write(conversation).encode()


def _close() -> None:
    st.session_state.pop(_EXPORTED, None)
    st.session_state.pop(_IMPORTING, None)


@st.dialog("Export a chat", on_dismiss=_close)
def _draw_export(conversation: Conversation) -> None:
    st.text(conversation.title)
    with st.grid(2, min_column_width=200, gap="small"):
        for label, ending, mime, icon, write in (
            ("Markdown, to read", "md", "text/markdown", ":material/article:", to_markdown),
            ("JSON, all of it", "json", "application/json", ":material/data_object:", rated_json),
        ):
            st.download_button(
                label,
                data=partial(_encoded, write, conversation),
                file_name=file_name(conversation.title, ending),
                mime=mime,
                icon=icon,
                on_click="ignore",
                width="stretch",
                key=f"export_{ending}",
            )
    st.caption(
        "Markdown holds what is shown. JSON holds every version with its settings, figures and "
        f"ratings, and can be imported again up to {MAX_FILE_MB} MB."
    )


@st.dialog("Import a chat", on_dismiss=_close)
def _draw_import() -> None:
    given = st.file_uploader(
        "A chat that was exported as JSON",
        type="json",
        max_upload_size=MAX_FILE_MB,
        key="imported_file",
    )
    if given is None:
        return
    try:
        imported = _read(given.getvalue())
    except SpecChatError as error:
        st.error(literal(sentence(str(error))), icon=":material/error:")
        return
    _close()
    session.show_conversation(imported.id)
    st.rerun()


def _read(content: bytes) -> Conversation:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(
            "the file is no exported chat: it is no UTF-8 text; choose a JSON file from Export"
        ) from error
    imported = from_json(text, session.owner())
    get_shelf().put(imported.conversation)
    session.leave_notice(f"imported: {imported.conversation.title}")
    try:
        save_ratings(database.get_database(), imported.ratings)
    except StorageError as error:
        session.leave_notice(f"the chat is imported without its ratings: {error}")
    return imported.conversation
