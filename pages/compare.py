"""Compare: one prompt, two ways to answer it, one after the other, and a verdict."""

from __future__ import annotations

import random
from dataclasses import replace

import streamlit as st

from pages.parts import model_choice, session
from pages.parts.attention import draw_looking, look_at
from pages.parts.guests import draw_race_note
from pages.parts.race import draw_race, is_own, open_race, start_race, stop_race
from pages.parts.race_list import draw_earlier
from pages.parts.race_setup import draw_setup, read_setup
from pages.parts.verdict import draw_verdict
from utils.errors import RequestError

COMMANDS = "race_commands"


def start() -> None:
    """Compare as the widgets stand; who is A in a blind comparison is drawn by lot."""
    try:
        request = read_setup()
        if request.is_blind and random.SystemRandom().random() < 0.5:
            request = replace(request, a=request.b, b=request.a)
        start_race(request)
        # With its commands: it begins below what most screens show, and may have to be stopped.
        look_at(COMMANDS)
    except RequestError as error:
        session.leave_notice(str(error))


model_choice.settle_choice()
with st.sidebar:
    model_choice.draw_model_choice()
    model_choice.draw_loading()
st.title("Compare", anchor=False)
st.caption(
    "One prompt, two ways to answer it, from the same model with the same seed. They take turns, "
    "A B B A, so that neither takes the processor from the other."
)
with st.container(border=True, key="race_setup"):
    draw_setup()
race = open_race()
is_running = race is not None and is_own(race) and race.snapshot().is_active
# Both are there at any time: what is drawn in the place of another may be seen beside it.
with st.container(horizontal=True, gap="small", key=COMMANDS):
    st.button(
        "Compare",
        icon=":material/flag:",
        type="primary",
        on_click=start,
        disabled=is_running,
        key="race_start",
    )
    st.button(
        "Stop",
        icon=":material/stop_circle:",
        on_click=stop_race,
        args=(race,),
        disabled=not is_running,
        key="race_stop",
    )
with st.container(key="kept_races"):
    draw_earlier(race)
if race is not None:
    draw_race_note(race)
    draw_race(race)
    draw_verdict(race)
draw_looking()
session.show_notice()
