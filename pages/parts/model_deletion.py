"""Deleting a model of Ollama: asked again first, refused while it is in use."""

from __future__ import annotations

from concurrent.futures import TimeoutError as StillRunning

import streamlit as st

from config import get_settings
from pages.parts import session
from pages.parts.model_choice import current_target, read_catalogue
from utils.chat import model_wording
from utils.chat.jobs import get_board
from utils.chat.markdown import literal
from utils.chat.wording import sentence
from utils.engine import runtime
from utils.errors import SpecChatError
from utils.model_catalogue import CatalogueEntry

DELETE_WAIT_S, REFRESH_WAIT_S = 30.0, 3.0
_ASKED = "deleting"


def ask_before_deleting(name: str) -> None:
    """Have the question drawn, now and until it is answered."""
    st.session_state[_ASKED] = name
    st.rerun()


def draw_deletion() -> None:
    """Draw the question that is open, if one is; call it at the end of the page."""
    name = st.session_state.get(_ASKED)
    entry = runtime.get_engine().catalogue.current.find(name) if name else None
    if entry is not None:
        _draw_question(entry)


def _close() -> None:
    st.session_state.pop(_ASKED, None)


@st.dialog("Delete a model", on_dismiss=_close)
def _draw_question(entry: CatalogueEntry) -> None:
    st.text(model_wording.model_label(entry))
    problem = _problem(entry)
    if problem:
        st.warning(literal(sentence(problem)), icon=":material/lock:")
    else:
        st.markdown(
            "It is taken from Ollama, and its files from this machine, unless another model of "
            "Ollama shares them. To have it again it must be pulled again."
        )
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if st.button("Close" if problem else "Keep it", key="keep_model"):
            _close()
            st.rerun()
        is_wanted = not problem and st.button("Delete", type="primary", key="delete_for_good")
    if is_wanted and (error := _delete(entry.name)):
        st.error(literal(sentence(error)), icon=":material/error:")
    elif is_wanted:
        _close()
        session.leave_notice(f"{entry.name} is deleted")
        st.rerun()


def _delete(name: str) -> str:
    """Delete it, and return what went wrong."""
    engine = runtime.get_engine()
    try:
        engine.thread.call(engine.ollama.delete(name)).result(DELETE_WAIT_S)
    except SpecChatError as error:
        return str(error)
    except StillRunning:
        return f"Ollama still deletes {name}: look again in a while"
    read_catalogue(max_age_s=0, wait_s=REFRESH_WAIT_S)
    return ""


def _problem(entry: CatalogueEntry) -> str:
    catalogue, settings = runtime.get_engine().catalogue.current, get_settings()
    running = get_board().running()
    asked = {answer.request.model.name or settings.target_model for answer in running}
    asked |= {answer.drafter for answer in running if answer.drafter}
    answering = {found.name for name in asked if (found := catalogue.find(name))}
    health = runtime.get_engine().client.health
    return model_wording.deletion_problem(entry, health, answering, current_target().name)
