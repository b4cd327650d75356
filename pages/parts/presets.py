"""Presets: the settings as they stand kept under a name, and taken up again by a click."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from pages.parts import session
from pages.parts.rows import Row, draw_row
from pages.parts.setting_values import apply_values, read_values
from utils.chat import presets
from utils.chat.markdown import literal
from utils.chat.presets import Preset
from utils.chat.wording import sentence
from utils.errors import RequestError, StorageError
from utils.storage import database

NAME = "preset_name"


def draw_presets() -> None:
    """Draw the presets of this person, and the field that makes another."""
    try:
        held = presets.list_presets(database.get_database(), session.owner())
    except StorageError as error:
        st.caption(literal(sentence(f"presets cannot be kept: {error}")))
        return
    with st.container(key="preset_list", gap="xxsmall"):
        for preset in held:
            draw_row(_row(preset))
    with st.form("new_preset", clear_on_submit=True, border=False):
        st.text_input(
            "Keep these settings as",
            key=NAME,
            help="Model, draft, sampling and system prompt as they stand. A name that is "
            "there already gets the new settings.",
        )
        st.form_submit_button("Keep", on_click=_save_new, width="stretch", key="save_preset")


def _row(preset: Preset) -> Row:
    return Row(
        key=f"preset_{preset.id}",
        name=preset.name,
        select=partial(_apply, preset),
        rename=partial(_rename, preset.id),
        actions={
            "Update to these settings": partial(_save, preset.name),
            "Delete": partial(_delete, preset.id),
        },
    )


def _apply(preset: Preset) -> None:
    apply_values(preset.values)
    session.leave_notice(f"the settings are now those of {preset.name}")
    st.rerun()


def _save_new() -> None:
    _save(st.session_state[NAME])


def _save(name: str) -> None:
    _change(presets.save_preset, name, read_values())


def _rename(preset_id: int, name: str) -> None:
    _change(presets.rename_preset, preset_id, name)


def _delete(preset_id: int) -> None:
    _change(presets.delete_preset, preset_id)


def _change(change: Callable[..., None], *values: object) -> None:
    try:
        change(database.get_database(), session.owner(), *values)
    except (RequestError, StorageError) as error:
        session.leave_notice(str(error))
        st.rerun()
