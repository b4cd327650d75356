"""Why an answer was not faster, and what to do: findings with the next step."""

from __future__ import annotations

import streamlit as st

from pages.parts.target_costs import machine_of
from utils.advisor.advise import advise
from utils.advisor.case import Advice
from utils.chat.markdown import literal
from utils.chat.snapshots import JobSnapshot

ICONS = {
    "good": ":green[:material/check_circle:]",
    "quiet": ":gray[:material/info:]",
    "bad": ":orange[:material/lightbulb:]",
}


def draw_advice(answer: JobSnapshot, target: str, *, newest_of: int = 1) -> None:
    """Draw what is to be said of an answer of that target, the dearest first.

    It says so where the answer is only the newest of several that are shown.
    """
    st.header("Why was it not faster?", anchor=False)
    if newest_of > 1:
        st.caption(f"This is about the newest of these {newest_of} answers alone.")
    with st.container(key="advice", gap="small"):
        for advice in advise(answer, machine_of(answer, target)):
            _draw(advice)


def _draw(advice: Advice) -> None:
    with st.container(border=True, gap="xxsmall"):
        st.markdown(f"{ICONS[advice.tone]} **{literal(advice.title)}**")
        st.caption(literal(advice.finding))
        if advice.step:
            st.markdown(literal(advice.step))
