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

DELETE_WAIT_S, UNLOAD_WAIT_S, REFRESH_WAIT_S = 30.0, 5.0, 3.0
IN_MEMORY = (
    "Ollama has it in its memory, and could not be told to let go of it once it is deleted. If "
    "nothing uses it, unload it first."
)
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
        _draw_question(entry.name)


def unload(name: str) -> None:
    """Take a model out of Ollama's memory, or leave a notice that says why it is still there."""
    engine = runtime.get_engine()
    try:
        engine.thread.call(engine.ollama.unload(name)).result(UNLOAD_WAIT_S)
    except SpecChatError as error:
        session.leave_notice(sentence(str(error)))
    except StillRunning:
        session.leave_notice(f"Ollama is still busy with {name}: look again in a while.")
    read_catalogue(max_age_s=0, wait_s=UNLOAD_WAIT_S)


def _close() -> None:
    st.session_state.pop(_ASKED, None)


@st.dialog("Delete a model", on_dismiss=_close)
def _draw_question(name: str) -> None:
    # Unloading draws this part alone: what is known of the model is looked up here.
    entry = runtime.get_engine().catalogue.current.find(name)
    if entry is None:
        st.caption(literal(f"{name} is not there any more."))
        return
    st.text(model_wording.model_label(entry))
    problem, held = _problem(entry), entry.running
    if problem:
        st.warning(literal(sentence(problem)), icon=":material/lock:")
    elif held is not None:
        st.warning(IN_MEMORY, icon=":material/memory:")
    else:
        st.markdown(
            "It is taken from Ollama, and its files from this machine, unless another model of "
            "Ollama shares them. To have it again it must be pulled again."
        )
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if st.button("Close" if problem else "Keep it", key="keep_model"):
            _close()
            st.rerun()
        if held is not None and not problem:
            what = (held.name,)
            st.button("Unload it", type="primary", on_click=unload, args=what, key="unload_it")
        is_free = held is None and not problem
        is_wanted = is_free and st.button("Delete", type="primary", key="delete_for_good")
    if is_wanted and (error := _delete(entry.name)):
        st.error(literal(sentence(error)), icon=":material/error:")
    elif is_wanted:
        _close()
        session.leave_notice(f"the model {entry.name} is deleted")
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
