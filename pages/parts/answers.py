"""One turn of a conversation: the question, the answer as far as it is, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.parts import turn_actions
from pages.parts.answer_text import (
    draw_error,
    draw_parts,
    draw_thought,
    has_thought,
    parts_of,
    settled_parts,
)
from pages.parts.attachments import draw_attachments
from pages.parts.charts import draw_acceptance, draw_draft_length, draw_speedup
from pages.parts.live import PANEL, draw_panel
from pages.parts.rating import draw_rating
from utils.chat import wording
from utils.chat.conversation import Conversation, Turn
from utils.chat.jobs import get_board
from utils.chat.markdown import literal
from utils.chat.snapshots import JobSnapshot

TEXT_S = 0.15
CHARTS_S = 1.0
LABEL_WIDTH = 120


def draw_turn(
    turn: Turn, conversation: Conversation, *, is_last: bool, shows_sources: bool
) -> DeltaGenerator | None:
    """Draw a question, its answer as far as it is, and what can be done with both.

    Return the place of the last answer's charts, where it has some: `draw_charts_beside` fills it.
    """
    charts = None
    with st.container(key=f"question_{turn.id}"):
        st.fragment(_draw_question)(turn, conversation)
    with st.chat_message("assistant", avatar=":material/bolt:"):
        if is_last:
            charts = _draw_last_answer(turn, conversation, shows_sources=shows_sources)
        else:
            if turn.answer is not None:
                _draw_settled(turn.answer, key=turn.id, shows_sources=shows_sources)
                draw_error(turn.answer)
                with st.container():
                    st.fragment(_draw_details)(turn, conversation)
            turn_actions.draw_actions(turn, conversation, is_last=False)
    return charts


def draw_charts_beside(turn: Turn, place: DeltaGenerator) -> None:
    """Draw the figures and charts of the last answer, again and again while it is written.

    The browser takes longest to build charts: drawn last, they keep nothing waiting.
    """
    with place, st.container(key=PANEL, gap="small"):
        _live(_draw_panel, CHARTS_S if turn.answer is None else None)(turn)


def _draw_question(turn: Turn, conversation: Conversation) -> None:
    """Draw what the user asked, as plain text, or as a form while it is edited."""
    with st.chat_message("user", avatar=":material/person:"):
        if turn_actions.is_edited(turn):
            turn_actions.draw_edit_form(turn)
        else:
            with st.container(
                horizontal=True, wrap=False, gap="small", vertical_alignment="center"
            ):
                st.text(turn.question, width="stretch")
                turn_actions.draw_edit_button(turn, conversation)
        draw_attachments(turn)


def _draw_last_answer(
    turn: Turn, conversation: Conversation, *, shows_sources: bool
) -> DeltaGenerator | None:
    """Draw the last answer, with room for its charts beside it.

    Text and charts have a rhythm each: charts are far dearer for the browser.
    """
    if not turn.settings.speculative.performance_monitoring:
        _draw_last_column(turn, conversation, shows_sources=shows_sources)
        return None
    text, charts = st.columns([5, 2], gap="large")
    with text:
        _draw_last_column(turn, conversation, shows_sources=shows_sources)
    return charts


def _draw_last_column(turn: Turn, conversation: Conversation, *, shows_sources: bool) -> None:
    """Draw the last answer with its figures and ratings, and what can be done with it."""
    _draw_last_text(turn, conversation, shows_sources=shows_sources)
    turn_actions.draw_actions(turn, conversation, is_last=True)


def _draw_last_text(turn: Turn, conversation: Conversation, *, shows_sources: bool) -> None:
    """Draw what stands of the last answer once, and what still grows in a rhythm of its own."""
    answer = turn.answer or _running(turn)
    settled = settled_parts(parts_of(answer, shows_sources=shows_sources))
    if settled:
        _draw_settled(answer, settled, key=turn.id, shows_sources=shows_sources)
    with st.container():
        _live(_draw_growing, TEXT_S if turn.answer is None else None)(
            turn, conversation, settled=settled, shows_sources=shows_sources
        )


def _draw_settled(
    answer: JobSnapshot, settled: int | None = None, *, key: str, shows_sources: bool
) -> None:
    """Draw the first parts of an answer, all where no number is given, and its thought."""
    if has_thought(answer, shows_sources=shows_sources):
        with st.container():
            st.fragment(draw_thought)(answer, key=key)
    parts = parts_of(answer, shows_sources=shows_sources)[:settled]
    # Only a text that is long may be left out of the layout: what is short would jump in view.
    is_long = settled or len(parts) > 1
    with st.container(key=f"settled_{key}") if is_long else nullcontext():
        draw_parts(parts)


def _live(draw: Callable[..., None], every_s: float | None) -> Callable[..., None]:
    return st.fragment(draw, run_every=every_s)


def _draw_details(turn: Turn, conversation: Conversation) -> None:
    """Draw what is folded away of an answer that is not the last one: charts and ratings."""
    if turn.answer is None:
        return
    details = _draw_figures(turn.answer, key=turn.id, has_charts=True)
    if details is not None:
        with details:
            draw_rating(turn, conversation)


def _draw_growing(
    turn: Turn, conversation: Conversation, *, settled: int, shows_sources: bool
) -> None:
    """Draw the parts of an answer that may still change, and what is told and thought of it."""
    answer = turn.answer or _running(turn)
    # What comes and goes has a place of its own, so that nothing else moves.
    with st.container():
        _draw_progress(answer)
    if not settled and has_thought(answer, shows_sources=shows_sources):
        draw_thought(answer, key=turn.id)
    parts = parts_of(answer, shows_sources=shows_sources)
    draw_parts(parts[settled:], are_fine=True)
    draw_error(answer)
    if turn.answer is not None:
        _draw_figures(answer, key=turn.id, has_charts=False)
        draw_rating(turn, conversation)
        return
    st.caption(literal(wording.quiet_line(answer)) or "\u00a0")
    is_current = any(
        known.job_id == turn.job_id and known.answer is None for known in conversation.turns
    )
    if not is_current or settled_parts(parts) > settled:
        st.rerun()


def _draw_panel(turn: Turn) -> None:
    draw_panel(turn.answer or _running(turn), key=turn.id)


def _running(turn: Turn) -> JobSnapshot:
    job = get_board().find(turn.job_id)
    if job is None:
        st.rerun()
    return job.snapshot()


def _draw_progress(answer: JobSnapshot) -> None:
    line = wording.progress_line(answer)
    if answer.state == "prefilling" and answer.prompt_total:
        st.progress(wording.prompt_share(answer), text=line)
    elif line:
        st.markdown(f":shimmer[{literal(line)}]")


def _draw_figures(answer: JobSnapshot, *, key: str, has_charts: bool) -> DeltaGenerator | None:
    """Draw the quiet line, which opens into details; return them where they are open."""
    line = wording.quiet_line(answer)
    if not line:
        return None
    details = st.expander(literal(line), type="compact", key=f"details_{key}", on_change="rerun")
    if not details.open:
        return None
    with details:
        for name, value in wording.detail_rows(answer):
            with st.container(horizontal=True, gap="small"):
                st.caption(name, width=LABEL_WIDTH)
                st.text(value, width="stretch")
        st.caption(literal(wording.comparison_sentence(answer)))
        if answer.request.speculative.performance_monitoring:
            _draw_charts(answer, key=key, has_rates=has_charts)
    return details


def _draw_charts(answer: JobSnapshot, *, key: str, has_rates: bool) -> None:
    """Draw the chart that shows the controller at work, and those of rates if not elsewhere."""
    charts = [("Draft length by round, and what was accepted", "draft_length", draw_draft_length)]
    if has_rates:
        charts += [
            ("Acceptance by round", "acceptance", draw_acceptance),
            ("Speedup by round", "speedup", draw_speedup),
        ]
    for column, (caption, name, draw) in zip(st.columns(len(charts)), charts, strict=True):
        with column:
            st.caption(caption)
            draw(answer, key=f"{name}_{key}")
