"""One turn of a conversation: the question, the answer as far as it is, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import streamlit as st

from pages.parts import session
from pages.parts.charts import draw_acceptance, draw_draft_length, draw_speedup
from pages.parts.live import PANEL, draw_panel
from utils.chat import wording
from utils.chat.conversation import Turn
from utils.chat.jobs import get_board
from utils.chat.markdown import literal, safe_markdown
from utils.chat.passages import Passage, Passages, passages
from utils.chat.snapshots import JobSnapshot
from utils.chat.token_sources import source_html

TEXT_S = 0.1
CHARTS_S = 0.5


@dataclass(frozen=True, slots=True)
class _Fold:
    """How a fold over a thought began."""

    label: str
    is_open: bool


def draw_question(turn: Turn) -> None:
    """Draw what the user asked, as plain text."""
    with (
        st.container(key=f"question_{turn.job_id}"),
        st.chat_message("user", avatar=":material/person:"),
    ):
        st.text(turn.question)


def draw_earlier_answer(turn: Turn, *, shows_sources: bool) -> None:
    """Draw a finished answer that is not the last one: its charts are folded away."""
    if turn.answer is None:
        return
    with st.chat_message("assistant", avatar=":material/bolt:"):
        _draw_text(turn.answer, key=turn.job_id, shows_sources=shows_sources)
        _draw_figures(turn.answer, key=turn.job_id, has_charts=True)


def draw_last_answer(turn: Turn, *, shows_sources: bool) -> None:
    """Draw the last answer with its charts beside it, again and again while it is written.

    Text and charts have a rhythm each: charts are far dearer for the browser.
    """
    is_live = turn.answer is None
    with st.chat_message("assistant", avatar=":material/bolt:"):
        if not turn.settings.speculative.performance_monitoring:
            _live(_draw_growing, TEXT_S if is_live else None)(turn, shows_sources=shows_sources)
            return
        text, panel = st.columns([5, 2], gap="large")
        with text:
            _live(_draw_growing, TEXT_S if is_live else None)(turn, shows_sources=shows_sources)
        with panel, st.container(key=PANEL, gap="small"):
            _live(_draw_panel, CHARTS_S if is_live else None)(turn)


def _live(draw: Callable[..., None], every_s: float | None) -> Callable[..., None]:
    return st.fragment(draw, run_every=every_s)


def _draw_growing(turn: Turn, *, shows_sources: bool) -> None:
    answer = turn.answer or _running(turn)
    _draw_progress(answer)
    _draw_text(answer, key=turn.job_id, shows_sources=shows_sources)
    if turn.answer is not None:
        _draw_figures(answer, key=turn.job_id, has_charts=False)
        return
    st.caption(literal(wording.quiet_line(answer)) or "\u00a0")
    if _has_settled(turn):
        st.rerun()


def _draw_panel(turn: Turn) -> None:
    draw_panel(turn.answer or _running(turn), key=turn.job_id)


def _running(turn: Turn) -> JobSnapshot:
    job = get_board().find(turn.job_id)
    if job is None:
        st.rerun()
    return job.snapshot()


def _has_settled(turn: Turn) -> bool:
    turns = session.open_conversation().turns
    return not turns or turns[-1].job_id != turn.job_id or turns[-1].answer is not None


def _draw_progress(answer: JobSnapshot) -> None:
    line = wording.progress_line(answer)
    if answer.state == "prefilling" and answer.prompt_total:
        st.progress(wording.prompt_share(answer), text=line)
    elif line:
        st.markdown(f":shimmer[{literal(line)}]")


def _draw_text(answer: JobSnapshot, *, key: str, shows_sources: bool) -> None:
    """Draw thought and answer; with sources, all the text as it was written."""
    if shows_sources and answer.runs:
        st.html(source_html(answer.runs))
        for handover in answer.handovers:
            _draw_handover(handover.reason)
    else:
        shown = passages(answer)
        if shown.thought or shown.is_thinking:
            _draw_thought(answer, shown, key=key)
        _draw_passages(shown.answer)
    if answer.error:
        st.error(literal(wording.sentence(answer.error)), icon=":material/error:")


def _draw_thought(answer: JobSnapshot, shown: Passages, *, key: str) -> None:
    """Draw a thought folded; it stays as the user left it when the label changes."""
    text = "".join(passage.text for passage in shown.thought)
    label = wording.thought_label(answer, text, is_thinking=shown.is_thinking)
    name = f"thought_{key}"
    drawn = cast("_Fold | None", st.session_state.get(f"{name}_fold"))
    if drawn is None or drawn.label != label:
        # To the browser another label is another fold: it begins as the last one was left.
        drawn = _Fold(label, is_open=bool(st.session_state.get(name)))
        st.session_state[f"{name}_fold"] = drawn
    fold = st.expander(label, expanded=drawn.is_open, type="compact", key=name, on_change="rerun")
    if fold.open:
        with fold, st.container(key=f"thought_text_{key}"):
            _draw_passages(shown.thought)


def _draw_passages(shown: Iterable[Passage]) -> None:
    for passage in shown:
        if passage.handover:
            _draw_handover(passage.handover)
        if passage.text:
            st.markdown(safe_markdown(passage.text), anchors=False)


def _draw_handover(reason: str) -> None:
    st.caption(f"\N{EM DASH} {literal(reason)} \N{EM DASH}")


def _draw_figures(answer: JobSnapshot, *, key: str, has_charts: bool) -> None:
    """Draw the quiet line, which opens into details."""
    line = wording.quiet_line(answer)
    if not line:
        return
    details = st.expander(literal(line), type="compact", key=f"details_{key}", on_change="rerun")
    if not details.open:
        return
    with details:
        for name, value in wording.detail_rows(answer):
            label, text = st.columns([1, 5], gap="small")
            label.caption(name)
            text.text(value)
        st.caption(literal(wording.comparison_sentence(answer)))
        if answer.request.speculative.performance_monitoring:
            _draw_charts(answer, key=key, has_rates=has_charts)


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
