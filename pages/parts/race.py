"""A comparison while it runs: two bars that race, and what both sides wrote."""

from __future__ import annotations

from typing import cast

import streamlit as st

from pages.parts import session
from pages.parts.answer_text import draw_error, draw_thought, has_thought
from utils.chat import model_wording, race_wording, races, wording
from utils.chat.jobs import get_board
from utils.chat.markdown import literal, safe_markdown
from utils.chat.passages import passages
from utils.chat.race_runs import Race
from utils.chat.race_snapshots import SIDES, RaceRequest, RaceSnapshot, Side, positions
from utils.chat.snapshots import JobSnapshot
from utils.engine import runtime

PARAMETER = "race"
LIVE_S = 0.2
_HELD = "race_id"


def open_race() -> Race | None:
    """Return the comparison of this session: the one of the address, the last, or none."""
    board = races.get_races()
    names = (st.query_params.get(PARAMETER), cast("str | None", st.session_state.get(_HELD)))
    found = next(filter(None, (board.find(name) for name in names if name)), None)
    race = found or board.newest(session.owner())
    if race is not None:
        st.session_state[_HELD] = race.id
        # Whatever is put there is sent to the browser, the same once more too.
        if names[0] != race.id:
            st.query_params[PARAMETER] = race.id
    else:
        st.query_params.pop(PARAMETER, None)
    return race


def start_race(request: RaceRequest) -> None:
    """Begin a comparison, or raise `RequestError`."""
    race = races.get_races().start(request, board=get_board(), runtime=runtime.get_engine())
    st.query_params[PARAMETER] = st.session_state[_HELD] = race.id


def show_race(race_id: str) -> None:
    """Put a comparison that is kept in place of the one shown, which goes on if it runs."""
    if races.get_races().find(race_id) is None:
        session.leave_notice(
            "this comparison cannot be opened: it was deleted in another window, or another "
            "version of the app wrote it"
        )
        return
    st.query_params[PARAMETER] = st.session_state[_HELD] = race_id


def is_own(race: Race) -> bool:
    """Tell whether this browser began a comparison: others that know its address look on."""
    return race.request.owner == session.owner()


def stop_race(race: Race | None) -> None:
    """End a comparison, unless it is another's."""
    if race is not None and is_own(race):
        race.stop()


def draw_race(race: Race) -> None:
    """Draw a comparison, again and again while it runs."""
    st.header("Answers", anchor=False)
    # What is asked above may be something else by now, or of another browser.
    with st.expander("What was asked", type="compact", key="race_asked"):
        for message in race.request.messages:
            st.caption(message.role.capitalize())
            st.text(message.content)
    seen = race.snapshot()
    # Streamlit may drop what a fragment drew until it runs again: alone in a container it leaves
    # a gap there and shifts nothing that follows.
    with st.container():
        st.fragment(_draw, run_every=LIVE_S if seen.is_active else None)(race, drawn=_stage(seen))


def _draw(race: Race, *, drawn: tuple[object, ...]) -> None:
    seen = race.snapshot()
    health = runtime.get_engine().client.health
    stage = model_wording.stage_line(health) if health.state == "loading" else ""
    line = race_wording.state_line(seen, stage=stage)
    st.caption(literal(f"{line} · {race_wording.conditions(seen.request)}"))
    if seen.is_revealed:
        _draw_bars(seen)
    for side, column in zip(SIDES, st.columns(2, gap="medium"), strict=True):
        with column, st.container(key=f"race_side_{side}", gap="small"):
            _draw_side(seen, side)
    if drawn != _stage(seen):
        st.rerun()


def _stage(race: RaceSnapshot) -> tuple[object, ...]:
    """Return what the rest of the page shows of a comparison."""
    return race.state, len(race.runs)


def _draw_bars(race: RaceSnapshot) -> None:
    for side, share in zip(SIDES, positions(race), strict=True):
        speed = race.tokens_per_second(side)
        shown = f"{wording.figure(speed)} tokens/s" if speed else race_wording.no_speed(race, side)
        st.progress(share, text=literal(f"{race_wording.side_label(race, side)} · {shown}"))


def _draw_side(race: RaceSnapshot, side: Side) -> None:
    st.subheader(literal(race_wording.side_label(race, side)), anchor=False)
    answer = race.shown(side)
    if answer is None:
        st.caption("Its turn comes next." if race.is_active else "It did not run.")
        return
    _draw_text(answer, key=f"{side}_{race.id}")
    if race.is_revealed:
        st.caption(literal(_figures(race, side, answer)) or "\u00a0")
    for problem in _problems(race, side):
        st.warning(literal(wording.sentence(problem)), icon=":material/info:")


def _figures(race: RaceSnapshot, side: Side, answer: JobSnapshot) -> str:
    """Return the figures of the last run of a side that counts, else of what is written."""
    ended = race.ended(side)
    line = wording.quiet_line(ended[-1].answer if ended else answer)
    return f"Run {len(ended)} of {race.request.runs_each}: {line}" if ended else line


def _problems(race: RaceSnapshot, side: Side) -> list[str]:
    left_out = [run for run in race.runs if run.side == side and run.is_left_out]
    if not left_out or not race.is_revealed:
        return []
    known = race_wording.left_out_sentence(left_out[-1])
    count = len(left_out)
    return [known if count == 1 else f"{count} runs are left out; the last: {known}"]


def _draw_text(answer: JobSnapshot, *, key: str) -> None:
    if has_thought(answer, shows_sources=False):
        draw_thought(answer, key=key)
    text = "".join(passage.text for passage in passages(answer).answer)
    st.markdown(safe_markdown(text) or "\u00a0", anchors=False)
    draw_error(answer)
