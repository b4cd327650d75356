"""The choice of a target: which model answers, who runs it, and having it loaded at once."""

from __future__ import annotations

from concurrent.futures import TimeoutError as StillRunning
from contextlib import suppress
from typing import cast

import streamlit as st

from config import get_settings
from utils.backends.protocol import BackendName, ModelChoice
from utils.chat import model_wording
from utils.chat.markdown import literal
from utils.chat.targets import Loading, Target, TargetLoader, can_answer, default_name
from utils.chat.wording import sentence
from utils.engine import runtime
from utils.model_catalogue import Catalogue

MODEL, BACKEND = "setting_model", "setting_backend"
BACKENDS: dict[BackendName, str] = {"auto": "Automatic", "ollama": "Ollama"}
MAX_AGE_S = 20.0
FIRST_WAIT_S, DECISION_WAIT_S = 1.5, 1.0
POLL_S = 0.5
_IS_CHOSEN = "model_is_chosen"
_OFFERED = "model_offered"
_LOADER = "target_loader"


def read_catalogue(*, max_age_s: float = MAX_AGE_S, wait_s: float = 0.0) -> Catalogue:
    """Return the models as last read, and have them read again; waits longest the first time."""
    engine = runtime.get_engine()
    reading = engine.thread.call(engine.catalogue.refresh(max_age_s=max_age_s))
    # The page is drawn with what is known, and again once there is more.
    with suppress(StillRunning):
        reading.result(wait_s if engine.catalogue.current.read_at else FIRST_WAIT_S)
    return engine.catalogue.current


def settle_choice() -> None:
    """Follow the default until the user has chosen; call it before the choice is drawn."""
    catalogue = read_catalogue()
    if not st.session_state.get(_IS_CHOSEN):
        st.session_state[MODEL] = default_name(catalogue, get_settings())
    st.session_state.setdefault(BACKEND, "auto")


def current_target() -> Target:
    """Return the chosen model, or the default one where the user has chosen none."""
    catalogue = runtime.get_engine().catalogue.current
    name = st.session_state.get(MODEL) or default_name(catalogue, get_settings())
    entry = catalogue.find(name)
    return Target(
        name=name,
        backend=st.session_state.get(BACKEND, "auto"),
        entry=entry,
        is_gone=entry is None and catalogue.read_at > 0,
        ollama_problem=catalogue.ollama_problem,
        deputy=get_settings().ollama_model,
        is_default=not st.session_state.get(_IS_CHOSEN),
    )


def choose(name: str) -> None:
    """Make a model the target of this session, and have it loaded."""
    st.session_state[MODEL] = name
    _take_model()


def is_chosen() -> bool:
    """Tell whether the user has chosen a model; else the default is followed."""
    return bool(st.session_state.get(_IS_CHOSEN))


def take_choice(choice: ModelChoice, *, loads: bool) -> None:
    """Make a choice that was kept the one of this session; without `loads`, at its next answer."""
    st.session_state[MODEL], st.session_state[BACKEND] = choice.name, choice.backend
    st.session_state[_IS_CHOSEN] = True
    if loads:
        _load()


def loading() -> Loading:
    """Return what became of the target that this session had loaded last."""
    return _loader().state


def draw_model_choice() -> None:
    """Draw the choice, where the model runs and why, and what is to be decided before loading.

    `settle_choice` comes before.
    """
    target = current_target()
    _draw_models(target)
    if target.is_of_ollama and target.entry and target.entry.fitness != "unusable":
        st.segmented_control(
            "Answered by",
            list(BACKENDS),
            format_func=BACKENDS.__getitem__,
            required=True,
            key=BACKEND,
            persist_state="session",
            on_change=_load,
        )
    st.caption(literal(model_wording.target_sentences(target, get_settings())))
    _draw_offer(target)


def draw_loading() -> None:
    """Draw how far the chosen model is loaded, while it is, or why that failed.

    For pages without the header, which tells it too.
    """
    is_running = loading().is_running
    with st.container():
        st.fragment(_draw_loading, run_every=POLL_S if is_running else None)(drawn=is_running)


def _draw_loading(*, drawn: bool) -> None:
    state, health = loading(), runtime.get_engine().client.health
    if state.is_running:
        said = f"Loading {state.name}: {model_wording.stage_line(health)}"
        st.progress(health.stage_share or 0.0, text=literal(said))
    elif state.error and state.name == current_target().name:
        st.caption(f":material/error: {literal(sentence(state.error))}")
    if drawn != state.is_running:
        st.rerun()


def _draw_models(target: Target) -> None:
    entries = runtime.get_engine().catalogue.current.entries
    labels = {
        entry.name: model_wording.model_label(entry) for entry in entries if can_answer(entry)
    }
    # A choice stays what it is, even while nobody tells of it.
    labels.setdefault(target.name, target.name)
    st.selectbox(
        "Model",
        list(labels),
        format_func=lambda name: labels.get(name, name),
        key=MODEL,
        persist_state="session",
        on_change=_take_offered,
        args=(target.name, list(labels)),
    )


def _draw_offer(target: Target) -> None:
    """Offer to make room first, where Ollama holds in memory what the engine is to load."""
    health = runtime.get_engine().client.health
    entry = target.entry
    if st.session_state.get(_OFFERED) != target.name or target.answers_in_ollama:
        return
    if entry is None or entry.running is None or target.is_loaded(health):
        return
    with st.container(key="memory_offer", border=True, gap="small"):
        st.caption(literal(model_wording.offer_sentence(entry.running)))
        st.button(
            "Unload it there",
            on_click=_decide,
            args=(target.name, entry.running.name),
            width="stretch",
            key="unload_and_load",
        )
        st.button(
            "Load anyway",
            on_click=_decide,
            args=(target.name, ""),
            width="stretch",
            key="load_anyway",
        )


def _take_offered(shown: str, offered: list[str]) -> None:
    """Take what was chosen of the models offered.

    A browser that has not seen yet that a label changed, as with a new size, sends the old one.
    """
    if st.session_state[MODEL] in offered:
        _take_model()
    else:
        st.session_state[MODEL] = shown


def _take_model() -> None:
    st.session_state[_IS_CHOSEN] = True
    st.session_state[BACKEND] = "auto"
    _load()


def _load() -> None:
    """Have the chosen model loaded, or offer to make room for it before."""
    st.session_state.pop(_OFFERED, None)
    # What is in Ollama's memory changes by itself.
    read_catalogue(max_age_s=0, wait_s=DECISION_WAIT_S)
    target = current_target()
    engine = runtime.get_engine()
    if target.entry is None or target.answers_in_ollama or target.entry.fitness == "unusable":
        return
    if target.is_loaded(engine.client.health):
        return
    if target.entry.running is not None:
        st.session_state[_OFFERED] = target.name
    else:
        _loader().load(target.name)


def _decide(name: str, unload: str) -> None:
    st.session_state.pop(_OFFERED, None)
    _loader().load(name, unload=unload)


def _loader() -> TargetLoader:
    held = cast("TargetLoader | None", st.session_state.get(_LOADER))
    if held is None:
        held = st.session_state[_LOADER] = TargetLoader(runtime.get_engine())
    return held
