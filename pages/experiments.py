"""Experiments: who drafts, by chance or not at all, and what that does to answers and readers."""

from __future__ import annotations

import streamlit as st

from config import get_settings
from pages.parts import session
from pages.parts.assignment import choose, next_decision
from pages.parts.experiment_figures import draw_figures
from pages.parts.rollout import draw_rollout
from utils.chat.markdown import literal
from utils.errors import StorageError
from utils.experiments.outcomes import list_outcomes
from utils.experiments.rollout import load_rollout
from utils.experiments.wording import decision_sentence, votes_sentence
from utils.storage import database
from utils.storage.votes import list_votes

PAGE_WIDTH = 960


def draw_this_browser() -> None:
    """Say what this browser does, and offer to leave that to chance again."""
    decision = next_decision()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.text(decision_sentence(decision), width="content")
        if decision.why == "chosen":
            st.button(
                "Leave it to the experiment",
                on_click=choose,
                kwargs={"enabled": None},
                type="tertiary",
                key="follow_experiment",
            )


def draw_experiment() -> None:
    """Draw the present experiment: what can be changed, and what was measured."""
    held = database.get_database()
    rollout = load_rollout(held, get_settings().rollout)
    draw_rollout(rollout)
    draw_this_browser()
    draw_figures(list_outcomes(held, rollout.experiment), rollout)
    if votes := votes_sentence(list_votes(held)):
        st.header("Blind votes", anchor=False)
        st.text(votes)


with (
    st.container(horizontal_alignment="center"),
    st.container(key="experiments_page", width=PAGE_WIDTH, gap="medium"),
):
    st.title("Experiments", anchor=False)
    try:
        draw_experiment()
    except StorageError as error:
        st.error(literal(f"Experiments cannot be shown: {error}."), icon=":material/error:")
session.show_notice()
