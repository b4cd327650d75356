"""One turn of a conversation: the question, the answer as far as it is, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.parts import turn_actions
from pages.parts.attachments import draw_attachments
from pages.parts.charts import draw_acceptance, draw_draft_length, draw_speedup
from pages.parts.live import PANEL, draw_panel
from pages.parts.rating import draw_rating
from utils.chat import wording
from utils.chat.conversation import Conversation, Turn
from utils.chat.jobs import get_board
from utils.chat.markdown import literal, safe_markdown
from utils.chat.passages import Passage, Passages, passages, pieces
from utils.chat.snapshots import JobSnapshot
from utils.chat.token_sources import source_html, source_pieces

TEXT_S = 0.1
CHARTS_S = 0.5
# To the browser another label is another fold, which begins closed: this one never changes.
THOUGHT = "Thought"
# Most pieces of a growing text are those of the last time.
_safe = lru_cache(maxsize=256)(safe_markdown)


def draw_turn(
    turn: Turn, conversation: Conversation, *, is_last: bool, shows_sources: bool
) -> None:
    """Draw a question, its answer as far as it is, and what can be done with both."""
    _draw_question(turn, conversation)
    with st.chat_message("assistant", avatar=":material/bolt:"):
        if is_last:
            _draw_last_answer(turn, conversation, shows_sources=shows_sources)
        elif turn.answer is not None:
            with st.container():
                st.fragment(_draw_finished)(turn, conversation, shows_sources=shows_sources)
        turn_actions.draw_actions(turn, conversation, is_last=is_last)
        if is_last and turn.answer is not None:
            with st.container():
                st.fragment(draw_rating)(turn, conversation)


def _draw_question(turn: Turn, conversation: Conversation) -> None:
    """Draw what the user asked, as plain text, or as a form while it is edited."""
    with (
        st.container(key=f"question_{turn.id}"),
        st.chat_message("user", avatar=":material/person:"),
    ):
        if turn_actions.is_edited(turn):
            turn_actions.draw_edit_form(turn)
        else:
            with st.container(horizontal=True, wrap=False, gap="small"):
                st.text(turn.question, width="stretch")
                turn_actions.draw_edit_button(turn, is_disabled=conversation.is_answering)
        draw_attachments(turn)


def _draw_last_answer(turn: Turn, conversation: Conversation, *, shows_sources: bool) -> None:
    """Draw the last answer with its charts beside it, again and again while it is written.

    Text and charts have a rhythm each: charts are far dearer for the browser.
    """
    is_live = turn.answer is None
    if not turn.settings.speculative.performance_monitoring:
        with st.container():
            _live(_draw_growing, TEXT_S if is_live else None)(
                turn, conversation, shows_sources=shows_sources
            )
        return
    text, panel = st.columns([5, 2], gap="large")
    with text:
        _live(_draw_growing, TEXT_S if is_live else None)(
            turn, conversation, shows_sources=shows_sources
        )
    with panel, st.container(key=PANEL, gap="small"):
        _live(_draw_panel, CHARTS_S if is_live else None)(turn)


def _live(draw: Callable[..., None], every_s: float | None) -> Callable[..., None]:
    return st.fragment(draw, run_every=every_s)


def _draw_finished(turn: Turn, conversation: Conversation, *, shows_sources: bool) -> None:
    """Draw an answer that is not the last one; its charts and ratings are folded away."""
    if turn.answer is None:
        return
    _draw_text(turn.answer, key=turn.id, shows_sources=shows_sources)
    details = _draw_figures(turn.answer, key=turn.id, has_charts=True)
    if details is not None:
        with details:
            draw_rating(turn, conversation)


def _draw_growing(turn: Turn, conversation: Conversation, *, shows_sources: bool) -> None:
    answer = turn.answer or _running(turn)
    # What comes and goes has a place of its own, so that nothing else moves.
    with st.container():
        _draw_progress(answer)
    _draw_text(answer, key=turn.id, shows_sources=shows_sources)
    if turn.answer is not None:
        _draw_figures(answer, key=turn.id, has_charts=False)
        return
    st.caption(literal(wording.quiet_line(answer)) or "\u00a0")
    if not any(
        known.job_id == turn.job_id and known.answer is None for known in conversation.turns
    ):
        st.rerun()


def _draw_panel(turn: Turn) -> None:
    draw_panel(turn.answer or _running(turn), key=turn.id)


def _running(turn: Turn) -> JobSnapshot:
    job = get_board().find(turn.job_id)
    if job is None:
        st.rerun()
    return job.snapshot()


def _has_settled(turn: Turn, conversation: Conversation) -> bool:
    turns = conversation.turns
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
        for piece in source_pieces(answer.runs):
            st.html(source_html(piece))
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
    """Draw a thought folded away, and under it that it is still going on."""
    text = "".join(passage.text for passage in shown.thought)
    line = wording.thought_label(answer, text, is_thinking=shown.is_thinking)
    fold = st.expander(THOUGHT, type="compact", key=f"thought_{key}", on_change="rerun")
    if fold.open:
        with fold, st.container(key=f"thought_text_{key}"):
            _draw_passages(shown.thought)
    with st.container():
        if shown.is_thinking and answer.is_active:
            st.markdown(f":shimmer[{literal(line)}]")
        else:
            st.caption(literal(line))


def _draw_passages(shown: Iterable[Passage]) -> None:
    for passage in shown:
        if passage.handover:
            _draw_handover(passage.handover)
        for piece in pieces(passage.text):
            st.markdown(_safe(piece), anchors=False)


def _draw_handover(reason: str) -> None:
    st.caption(f"\N{EM DASH} {literal(reason)} \N{EM DASH}")


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
            label, text = st.columns([1, 5], gap="small")
            label.caption(name)
            text.text(value)
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
