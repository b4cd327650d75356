"""The comparisons of a browser that are kept: opened by a click, deleted and brought back."""

from __future__ import annotations

import time
from datetime import datetime, tzinfo
from typing import cast

import streamlit as st

from pages.parts import session
from pages.parts.browser import time_zone
from pages.parts.race import show_race
from utils.chat import race_wording, races
from utils.chat.markdown import literal
from utils.chat.race_runs import Race
from utils.chat.race_snapshots import RaceSummary
from utils.chat.wording import sentence
from utils.errors import RequestError, StorageError

CHOICE = "race_earlier"
UNDO_S = 60.0
_DELETED = "deleted_race"


def draw_earlier(race: Race | None) -> None:
    """Draw the choice of a comparison, and what can be done with `race`, the one that is open."""
    board = races.get_races()
    kept = {one.id: one for one in board.kept(session.owner())}
    if board.problem:
        st.caption(f":material/warning: {literal(sentence(board.problem))}")
    _draw_undo()
    if not kept:
        return
    shown = race.id if race is not None and race.id in kept else None
    st.session_state[CHOICE] = shown
    zone = time_zone()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Earlier comparisons",
            list(kept),
            index=None,
            format_func=lambda race_id: _label(kept.get(race_id), zone),
            placeholder="Open one",
            on_change=_open,
            args=(list(kept),),
            key=CHOICE,
        )
        st.button(
            "Delete",
            icon=":material/delete:",
            on_click=_delete,
            args=(kept[shown],) if shown else None,
            disabled=shown is None or (race is not None and race.snapshot().is_active),
            key="race_delete",
        )


def _label(kept: RaceSummary | None, zone: tzinfo) -> str:
    if kept is None:
        return ""
    return race_wording.kept_label(kept, datetime.fromtimestamp(kept.started_at, zone))


def _draw_undo() -> None:
    deleted = cast("tuple[RaceSummary, float] | None", st.session_state.get(_DELETED))
    if deleted is None or time.monotonic() - deleted[1] > UNDO_S:
        st.session_state.pop(_DELETED, None)
        return
    kept = deleted[0]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(literal(f"Deleted: {kept.question}"))
        st.button(
            "Undo",
            icon=":material/undo:",
            on_click=_restore,
            args=(kept.id,),
            key="race_undo",
        )


def _open(offered: list[str]) -> None:
    """Open what was chosen of what was offered.

    A browser that has not seen yet that a label changed, as with a new speed, sends the old one.
    """
    if (wanted := st.session_state[CHOICE]) in offered:
        show_race(wanted)


def _delete(kept: RaceSummary) -> None:
    try:
        races.get_races().delete(kept.id, session.owner())
    except (RequestError, StorageError) as error:
        session.leave_notice(f"the comparison is not deleted: {error}")
        return
    st.session_state[_DELETED] = (kept, time.monotonic())


def _restore(race_id: str) -> None:
    st.session_state.pop(_DELETED, None)
    try:
        races.get_races().restore(race_id, session.owner())
    except StorageError as error:
        session.leave_notice(f"the comparison is not brought back: {error}")
        return
    show_race(race_id)
