"""The controls of an experiment: whether it runs, whose answers draft, and the switch for all."""

from __future__ import annotations

import streamlit as st

from config import get_settings
from pages.parts import session
from utils.errors import SpecChatError
from utils.experiments.rollout import Rollout, begin_experiment, change_rollout, load_rollout
from utils.experiments.wording import rollout_sentence
from utils.storage import database

RUNS, PERCENT = "experiment_runs", "experiment_percent"
HALF = 50


def draw_rollout(rollout: Rollout) -> None:
    """Draw what is so now, and what changes it."""
    st.session_state[RUNS] = rollout.percent is not None
    st.session_state[PERCENT] = HALF if rollout.percent is None else rollout.percent
    with st.container(border=True, gap="small", key="rollout"):
        st.text(rollout_sentence(rollout))
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.toggle(
                "Assign browsers by chance",
                key=RUNS,
                on_change=_run,
                disabled=rollout.is_stopped,
                help="Each browser drafts, or does not, as long as the experiment runs. Who uses "
                "the switch in the chat decides alone, and is left out of the figures.",
            )
            _draw_stop(rollout)
        if rollout.percent is not None:
            st.slider(
                "Share of browsers that draft, in percent",
                0,
                100,
                step=5,
                key=PERCENT,
                on_change=_share,
                disabled=rollout.is_stopped,
                help="Another share moves as few browsers as possible: all others stay.",
            )
        st.caption("Whoever can open this page can change this; it holds from the next answer on.")


def draw_new_experiment() -> None:
    """Draw what begins the experiment anew."""
    with st.popover("Begin anew", icon=":material/restart_alt:"):
        st.text("Browsers are assigned afresh, and the figures begin at zero.")
        st.button("Begin a new experiment", on_click=_begin, key="begin_experiment")


def _draw_stop(rollout: Rollout) -> None:
    if rollout.is_stopped:
        st.button(
            "Allow drafting again",
            icon=":material/play_arrow:",
            on_click=_stop,
            kwargs={"is_stopped": False},
            key="allow_drafting",
        )
    else:
        st.button(
            "Stop drafting for everyone",
            icon=":material/front_hand:",
            on_click=_stop,
            kwargs={"is_stopped": True},
            help="From the next answer on, whatever users chose.",
            key="stop_drafting",
        )


def _run() -> None:
    share = st.session_state.get(PERCENT, HALF)
    _change(percent=share if st.session_state[RUNS] else None)


def _share() -> None:
    _change(percent=st.session_state[PERCENT])


def _stop(*, is_stopped: bool) -> None:
    _change(is_stopped=is_stopped)


def _change(**changes: int | bool | None) -> None:
    """Change these, and leave the rest as it is by now: others may have changed it."""
    held, config = database.get_database(), get_settings().rollout
    try:
        now = load_rollout(held, config)
        wanted = {"percent": now.percent, "is_stopped": now.is_stopped, **changes}
        change_rollout(held, config, **wanted)
    except SpecChatError as error:
        session.leave_notice(f"nothing was changed: {error}")


def _begin() -> None:
    held, config = database.get_database(), get_settings().rollout
    try:
        now = load_rollout(held, config)
        begin_experiment(held, config, percent=now.percent, is_stopped=now.is_stopped)
    except SpecChatError as error:
        session.leave_notice(f"no new experiment was begun: {error}")
