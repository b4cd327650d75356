"""Rows of a list in the sidebar: a name to click, a menu beside it, and a field for a new name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import streamlit as st

from pages.parts.attention import draw_focus
from utils.chat.markdown import literal

RENAME = "Rename"
_RENAMED = "renamed_row"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `key` is unique in the page; `actions` are callbacks by what the menu calls them.

    `rename` gets the new name, which may be empty. `note` says what is going on in it, and marks
    it.
    """

    key: str
    name: str
    select: Callable[[], None]
    rename: Callable[[str], None]
    actions: Mapping[str, Callable[[], None]]
    is_selected: bool = False
    note: str = ""


def draw_row(row: Row) -> None:
    """Draw a row, or the field for its new name after that was asked for."""
    if st.session_state.get(_RENAMED) == row.key:
        _draw_naming(row)
        return
    with st.container(
        horizontal=True,
        gap=None,
        vertical_alignment="center",
        wrap=False,
        key=f"sidebar_row_{row.key}",
    ):
        st.button(
            literal(row.name),
            type="secondary" if row.is_selected else "tertiary",
            icon="spinner" if row.note else None,
            help=row.note or None,
            on_click=row.select,
            width="stretch",
            wrap=False,
            key=f"select_{row.key}",
        )
        st.menu_button(
            literal(f"More about {row.name}"),
            [RENAME, *row.actions],
            icon=":material/more_vert:",
            type="tertiary",
            on_click=_act,
            args=(row,),
            key=f"icon_only_{row.key}",
        )


def _draw_naming(row: Row) -> None:
    key, cancel = f"name_of_{row.key}", f"leave_name_of_{row.key}"
    # In a form nothing is taken before Enter or a button: to leave the field keeps the old name.
    with (
        st.form(f"naming_{row.key}", border=False),
        st.container(horizontal=True, gap="xsmall", vertical_alignment="bottom", wrap=False),
    ):
        st.text_input("New name", row.name, key=key)
        st.form_submit_button(
            "Keep this name",
            icon=":material/check:",
            on_click=_rename,
            args=(row, key),
            key=f"keep_name_of_{row.key}",
        )
        st.form_submit_button(
            "Keep the old name",
            icon=":material/close:",
            on_click=_end_naming,
            key=cancel,
        )
    draw_focus(key, escape=cancel)


def _act(row: Row) -> None:
    wanted = st.session_state[f"icon_only_{row.key}"]
    if wanted == RENAME:
        st.session_state[_RENAMED] = row.key
    elif wanted in row.actions:
        row.actions[wanted]()


def _end_naming() -> None:
    st.session_state.pop(_RENAMED, None)


def _rename(row: Row, key: str) -> None:
    """Take what was typed, an empty name too: whose row it is knows what that means."""
    _end_naming()
    name = st.session_state.get(key, row.name).strip()
    if name != row.name:
        row.rename(name)
