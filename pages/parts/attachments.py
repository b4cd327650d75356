"""Text files that go with a question: taken from the input, and shown as chips that open."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st
from streamlit.typing import UploadedFile

from utils.chat.attached_files import file_label, read_attachment
from utils.chat.markdown import literal
from utils.chat.turns import Attachment, Turn
from utils.errors import RequestError

SHOWN_CHARS = 20_000
MAX_FILE_BYTES = 2**20


def read_uploads(files: Iterable[UploadedFile]) -> tuple[Attachment, ...]:
    """Return uploaded files as text, or raise `RequestError` that names the one that is not."""
    return tuple(_read_upload(file) for file in files)


def _read_upload(file: UploadedFile) -> Attachment:
    # The browser holds the limit of the input; whoever goes round it is stopped here.
    if file.size > MAX_FILE_BYTES:
        raise RequestError(
            f"{file.name!r} has {file.size:,} bytes, {MAX_FILE_BYTES:,} is the most: attach a part"
        )
    return read_attachment(file.name, file.getvalue())


def draw_attachments(turn: Turn) -> None:
    """Draw the files of a question; each opens into its text."""
    if not turn.attachments:
        return
    with st.container(horizontal=True, gap="small"):
        for number, file in enumerate(turn.attachments):
            chip = st.popover(
                literal(file_label(file)),
                icon=":material/description:",
                key=f"file_{turn.id}_{number}",
                on_change="rerun",
            )
            if chip.open:
                with chip:
                    _draw_text(file)


def _draw_text(file: Attachment) -> None:
    st.code(file.text[:SHOWN_CHARS], language=None, wrap_lines=True, height=320)
    if len(file.text) > SHOWN_CHARS:
        st.caption(f"The first {SHOWN_CHARS} of {len(file.text)} characters; all were attached.")
