"""Chats as files: one saved for reading or for another machine, and one read in again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.parts import session
from pages.parts.attention import draw_escape
from utils.chat.conversation import Conversation
from utils.chat.exports import MAX_FILE_MB, to_parts
from utils.chat.imports import from_parts
from utils.chat.markdown import literal
from utils.chat.markdown_export import to_markdown
from utils.chat.shelf import get_shelf
from utils.chat.wording import sentence
from utils.errors import RequestError, SpecChatError, StorageError
from utils.experiments.ratings import load_ratings, save_ratings
from utils.storage import database

NAME_CHARS = 60
_File = tuple[str, str, str, str, Callable[[Conversation], bytes]]
_EXPORTED, _PARTS, _IMPORTING = "exported_chat", "exported_parts", "importing_chat"
_FILES = "imported_file"


def ask_for_export(conversation_id: str) -> None:
    """Have the choice of files drawn for a chat."""
    st.session_state[_EXPORTED] = conversation_id
    st.session_state.pop(_PARTS, None)


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


def rated_parts(conversation: Conversation) -> tuple[str, ...]:
    """Return all of a chat; what cannot be read of its ratings is not in it."""
    try:
        answers = [turn.job_id for turn in conversation.all_turns]
        return to_parts(conversation, load_ratings(database.get_database(), answers))
    except StorageError:
        return to_parts(conversation)


def _markdown(conversation: Conversation) -> bytes:
    return to_markdown(conversation).encode()


def _json(number: int, conversation: Conversation) -> bytes:
    return rated_parts(conversation)[number].encode()


def _close() -> None:
    _forget_files()
    st.session_state.pop(_EXPORTED, None)
    st.session_state.pop(_IMPORTING, None)


def _forget_files() -> None:
    """Let go of the files that were given: Streamlit would hold them until the tab is closed."""
    context = get_script_run_ctx()
    if context is None or not isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        return
    for file in st.session_state.get(_FILES) or ():
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


@st.dialog("Export a chat", on_dismiss=_close)
def _draw_export(conversation: Conversation) -> None:
    st.text(conversation.title)
    if _PARTS not in st.session_state:
        with st.spinner("Looking at how long the chat is\N{HORIZONTAL ELLIPSIS}"):
            st.session_state[_PARTS] = len(rated_parts(conversation))
    parts: int = st.session_state[_PARTS]
    files: list[_File] = [
        ("Markdown, to read", "md", "text/markdown", ":material/article:", _markdown)
    ]
    for number in range(parts):
        label = "JSON, all of it" if parts == 1 else f"JSON, part {number + 1} of {parts}"
        ending = "json" if parts == 1 else f"{number + 1}-of-{parts}.json"
        write = partial(_json, number)
        files.append((label, ending, "application/json", ":material/data_object:", write))
    with st.grid(2, min_column_width=200, gap="small"):
        for label, ending, mime, icon, write in files:
            st.download_button(
                label,
                data=partial(write, conversation),
                file_name=file_name(conversation.title, ending),
                mime=mime,
                icon=icon,
                on_click="ignore",
                width="stretch",
                key=f"export_{ending}",
            )
    draw_escape()
    st.caption(
        "Markdown holds what is shown. JSON holds every version with its settings, figures and "
        f"ratings, and can be imported again; above {MAX_FILE_MB} MB it comes in parts, which are "
        "imported together."
    )


@st.dialog("Import a chat", on_dismiss=_close)
def _draw_import() -> None:
    given = st.file_uploader(
        "A chat that was exported as JSON, with all its parts where it has several",
        type="json",
        accept_multiple_files=True,
        max_upload_size=MAX_FILE_MB,
        key=_FILES,
    )
    if not given:
        return
    try:
        with st.spinner("Reading the chat: a long one takes a while\N{HORIZONTAL ELLIPSIS}"):
            imported = _read([file.getvalue() for file in given])
    except SpecChatError as error:
        st.error(literal(sentence(str(error))), icon=":material/error:")
        return
    _close()
    session.show_conversation(imported.id)
    st.rerun()


def _read(contents: Sequence[bytes]) -> Conversation:
    try:
        texts = [content.decode("utf-8-sig") for content in contents]
    except UnicodeDecodeError as error:
        raise RequestError(
            "the file is no exported chat: it is no UTF-8 text; choose a JSON file from Export"
        ) from error
    imported = from_parts(texts, session.owner())
    get_shelf().put(imported.conversation)
    session.leave_notice(f"the chat is imported: {imported.conversation.title}")
    try:
        save_ratings(database.get_database(), imported.ratings)
    except StorageError as error:
        session.leave_notice(f"the chat is imported without its ratings: {error}")
    return imported.conversation
