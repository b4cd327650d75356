"""The charts of the Performance page: how answers were drafted, and where their time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages.parts.charts import CONFIG, LEAST_WIDTH
from pages.parts.target_costs import cost_curves, draft_figures, memory_parts
from utils.charts import performance as figures
from utils.chat import performance_wording as wording
from utils.chat.answer_groups import AnswerGroup, speed_of
from utils.chat.markdown import literal
from utils.chat.snapshots import JobSnapshot
from utils.chat.wording import switch_sentence
from utils.engine import memory
from utils.performance_monitor import RoundStats
from utils.round_figures import (
    acceptance_by_place,
    accepted_lengths,
    pass_times,
    time_split,
    usual_length,
)
from utils.sizes import size

SPEEDS = 100


def draw_charts(group: AnswerGroup, answers: Sequence[JobSnapshot]) -> None:
    """Draw what some answers tell, the newest first, and the speeds of their group.

    How the draft length changed is drawn of a single answer only, and nothing on drafts where
    there were none.
    """
    st.header("In detail", anchor=False)
    target = answers[0].model or group.model
    rounds = [stats for answer in reversed(answers) for stats in answer.rounds]
    grid = st.grid(2, min_column_width=LEAST_WIDTH, gap="medium")
    if any(stats.drafted for stats in rounds):
        for draw in (_draw_places, _draw_lengths):
            with grid.cell():
                draw(rounds)
        if len(answers) == 1:
            with grid.cell():
                _draw_timeline(answers[0])
    with grid.cell():
        _draw_costs(target, rounds)
    with grid.cell():
        _draw_time(rounds, sum(answer.stats.prefill_s for answer in answers))
        _draw_memory(target)
    with grid.cell():
        _draw_speeds(group)


def _draw_places(rounds: Sequence[RoundStats]) -> None:
    places = acceptance_by_place(rounds)
    _draw(
        "Acceptance by place in the draft",
        wording.places_sentence(places),
        figures.places_figure(places),
        key="places",
    )


def _draw_lengths(rounds: Sequence[RoundStats]) -> None:
    counts = accepted_lengths(rounds)
    _draw(
        "Tokens kept in a round",
        wording.lengths_sentence(counts, rounds),
        figures.lengths_figure(counts),
        key="lengths",
    )


def _draw_timeline(answer: JobSnapshot) -> None:
    """Draw how much was drafted along an answer, and say why that changed."""
    switches = [(switch, switch_sentence(switch)) for switch in answer.switches]
    _draw(
        "Draft length along the answer",
        wording.timeline_sentence(answer.rounds),
        figures.timeline_figure(answer.rounds, switches),
        key="timeline",
    )
    for _, why in switches:
        st.caption(literal(why))


def _draw_costs(model: str, rounds: Sequence[RoundStats]) -> None:
    curves, measured, chosen = cost_curves(model), pass_times(rounds), usual_length(rounds)
    known = curves[0].seconds if curves else measured
    _draw(
        "What a pass over several tokens costs",
        wording.costs_sentence(known, chosen),
        figures.costs_figure(curves, measured, chosen_length=chosen),
        key="costs",
    )
    for draft in draft_figures(model):
        st.caption(literal(wording.expectation(draft)))


def _draw_time(rounds: Sequence[RoundStats], prefill_s: float) -> None:
    split = time_split(rounds, prefill_s=prefill_s)
    shares = [figures.Share(*part) for part in wording.time_parts(split)]
    _draw(
        "Where the time went",
        wording.time_sentence(split),
        figures.shares_figure(shares),
        key="time",
    )


def _draw_memory(model: str) -> None:
    parts = memory_parts(model)
    shares = [figures.Share(name, count, size(count)) for name, count in parts]
    _draw(
        "Memory of the engine",
        wording.memory_sentence(parts, memory.available_bytes()),
        figures.shares_figure(shares),
        key="memory",
    )


def _draw_speeds(group: AnswerGroup) -> None:
    speeds = [
        (number, speed_of(answer), answer.baseline_tps)
        for number, answer in group.numbered[:SPEEDS]
        if answer.completion_tokens
    ]
    _draw(
        "Speed of the answers",
        wording.speeds_sentence(group),
        figures.speeds_figure(speeds[::-1]),
        key="speeds",
    )


def _draw(title: str, said: str, figure: Any, *, key: str) -> None:
    """Draw a chart under its title, and in a sentence what it shows."""
    st.subheader(title, anchor=False)
    st.caption(literal(said))
    st.plotly_chart(figure, key=f"chart_{key}", config=CONFIG, alt=f"{title}. {said}")
