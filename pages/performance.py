"""Performance: what answers measured by model and draft, and why one was not faster."""

from __future__ import annotations

import streamlit as st

from pages.parts.advisor import draw_advice
from pages.parts.answer_charts import draw_charts
from pages.parts.answer_history import (
    choose_answers,
    choose_group,
    draw_groups,
    draw_nothing_yet,
    read_groups,
    watch_answers,
)

PAGE_WIDTH = 1120

with (
    st.container(horizontal_alignment="center"),
    st.container(key="performance_page", width=PAGE_WIDTH, gap="medium"),
):
    st.title("Performance", anchor=False)
    groups = read_groups()
    if not groups:
        draw_nothing_yet()
    else:
        draw_groups(groups)
        which_group, which_answer = st.columns(2)
        with which_group:
            group = choose_group(groups)
        with which_answer:
            answers = choose_answers(group)
        if answers:
            draw_advice(answers[0], answers[0].model or group.model, newest_of=len(answers))
            draw_charts(group, answers)
watch_answers()
