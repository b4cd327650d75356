"""Pulls of models: asked for by name, seen to arrive, stopped and gone on with."""

from __future__ import annotations

from typing import cast

import streamlit as st

from config import get_settings
from pages.parts import session
from pages.parts.model_choice import read_catalogue
from utils.chat import model_wording, wording
from utils.chat.markdown import literal
from utils.engine import runtime
from utils.errors import RequestError
from utils.model_store import ModelStore
from utils.pulls import PullSnapshot
from utils.sizes import size

NAME = "pull_name"
POLL_S = 0.5
REFRESH_WAIT_S = 3.0
MAX_NAME_CHARS = 512
_ERROR = "pull_error"
_AWAITED = "pulls_awaited"
_VERSION = "pulls_version"
_HIDDEN = "pulls_hidden"


def draw_pulls() -> None:
    """Draw the name to pull, and how far what is being pulled has come."""
    # Close to each other: most of the time there is nothing on the board.
    with st.container(gap="xsmall"):
        _draw_form()
        with st.container():
            st.fragment(_draw_board, run_every=POLL_S)()


def _draw_form() -> None:
    with (
        st.form("pull_form", border=False),
        st.container(horizontal=True, vertical_alignment="bottom", gap="small"),
    ):
        st.text_input(
            "Pull a model",
            key=NAME,
            max_chars=MAX_NAME_CHARS,
            placeholder="llama3.2:3b or hf.co/user/repo:Q4_K_M",
            width=420,
        )
        st.form_submit_button("Pull", icon=":material/download:", on_click=_pull_named)
    if error := st.session_state.pop(_ERROR, ""):
        st.error(literal(wording.sentence(error)), icon=":material/error:")


def _pull_named() -> None:
    if not (name := st.session_state[NAME].strip()):
        st.session_state[_ERROR] = "no model is named: type one as in Ollama's library"
    elif _start(name):
        st.session_state[NAME] = ""


def _start(name: str) -> bool:
    try:
        job = runtime.get_engine().pulls.start(name)
    except RequestError as error:
        st.session_state[_ERROR] = str(error)
        return False
    _awaited().add(_key(job.snapshot()))
    return True


def pull_model(name: str) -> None:
    """Pull a model, or go on with that; what speaks against it is left as a notice."""
    if not _start(name):
        session.leave_notice(wording.sentence(st.session_state.pop(_ERROR)))


def _draw_board() -> None:
    board = runtime.get_engine().pulls
    if space := ModelStore(get_settings()).free_space():
        folder, free_bytes = space
        st.caption(literal(f"{size(free_bytes)} free in {model_wording.folder_name(folder)}"))
    pulls = [pull for pull in board.jobs() if pull.state != "done" and _key(pull) not in _hidden()]
    for pull in reversed(pulls):
        _draw_pull(pull)
    _tell_of_arrivals()
    if st.session_state.get(_VERSION) != board.version:
        st.session_state[_VERSION] = board.version
        read_catalogue(max_age_s=0, wait_s=REFRESH_WAIT_S)
    session.show_notice()


def _draw_pull(pull: PullSnapshot) -> None:
    with st.container(key=f"pull_{pull.name}", border=True, gap="xsmall"):
        what, actions = st.columns([7, 2], vertical_alignment="center", gap="small")
        with what, st.container(key=f"name_of_pull_{pull.name}"):
            st.text(pull.name)
        # Aligned to the left, what is clicked stays where it is when what follows it changes.
        with actions, st.container(horizontal=True, gap="small"):
            _draw_actions(pull)
        figures = model_wording.pull_figures(pull)
        if pull.is_active:
            st.progress(pull.share, text=literal(figures))
        elif pull.state == "failed":
            st.caption(f":material/error: {literal(wording.sentence(pull.error))}")
        else:
            st.caption(literal(f"Stopped at {figures}; what has arrived is kept."))


def _draw_actions(pull: PullSnapshot) -> None:
    job = runtime.get_engine().pulls.find(pull.name)
    if pull.is_active:
        st.button(
            "Cancel",
            icon=":material/close:",
            on_click=job.cancel if job else None,
            key=f"cancel_{pull.name}",
        )
        return
    st.button(
        "Resume" if pull.done_bytes else "Try again",
        icon=":material/refresh:",
        on_click=pull_model,
        args=(pull.name,),
        key=f"resume_{pull.name}",
    )
    st.button("Dismiss", type="tertiary", on_click=_hide, args=(pull,), key=f"dismiss_{pull.name}")


def _tell_of_arrivals() -> None:
    """Say of each pull that was begun or seen here that it is done, once."""
    for pull in runtime.get_engine().pulls.jobs():
        if pull.is_active:
            _awaited().add(_key(pull))
        elif _key(pull) in _awaited():
            _awaited().discard(_key(pull))
            if pull.state == "done":
                session.leave_notice(f"the model {pull.name} is here")


def _awaited() -> set[object]:
    return cast("set[object]", st.session_state.setdefault(_AWAITED, set()))


def _hide(pull: PullSnapshot) -> None:
    _hidden().add(_key(pull))


def _hidden() -> set[object]:
    return cast("set[object]", st.session_state.setdefault(_HIDDEN, set()))


def _key(pull: PullSnapshot) -> object:
    return pull.name, pull.started_at
