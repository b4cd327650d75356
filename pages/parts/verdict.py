"""What came of a comparison: the vote, who is faster, whether the texts are the same, and files."""

from __future__ import annotations

import time
from functools import partial

import streamlit as st

from pages.parts import session
from pages.parts.charts import LEAST_WIDTH
from pages.parts.race import is_own
from utils.charts.races import progress_figure, speeds_figure
from utils.charts.style import color_words
from utils.chat import race_wording
from utils.chat.markdown import literal
from utils.chat.race_exports import race_json, race_markdown
from utils.chat.race_runs import Race
from utils.chat.race_snapshots import SIDES, RaceSnapshot, is_same_text, verdict
from utils.chat.wording import sentence
from utils.errors import RequestError, StorageError
from utils.storage import database
from utils.storage.votes import Choice, Vote, save_vote

PICTURE = {
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtons": [["toImage"]],
    "scrollZoom": False,
}
FILES = (
    ("Markdown", "md", "text/markdown", race_markdown),
    ("JSON", "json", "application/json", race_json),
)


def draw_verdict(race: Race) -> None:
    """Draw what is known of a comparison by now."""
    seen = race.snapshot()
    if seen.error:
        st.error(literal(sentence(seen.error)), icon=":material/error:")
    if not seen.is_revealed:
        _draw_vote(race, seen)
        return
    if not any(seen.ended(side) for side in SIDES):
        return
    st.header("Verdict", anchor=False)
    if seen.vote is not None:
        st.caption(literal(_told(seen, is_own=is_own(race))))
    _draw_findings(seen)
    if verdict(seen) is not None:
        _draw_charts(seen)
    if not seen.is_active:
        _draw_files(seen)


def _draw_vote(race: Race, seen: RaceSnapshot) -> None:
    if not seen.may_vote:
        over = "There is nothing to vote on: both sides must have run to an end once."
        st.caption("Vote once both have written." if seen.is_active else over)
        return
    if not is_own(race):
        st.caption("How each was written is told once the browser that began this has voted.")
        return
    st.markdown("**Which did you like better?** How each was written is told after your vote.")
    with st.container(horizontal=True, gap="small"):
        for choice, label in race_wording.CHOICES.items():
            st.button(label, on_click=_vote, args=(race, choice), key=f"vote_{choice}")


def _vote(race: Race, choice: Choice) -> None:
    """Take a vote, and keep it for the figures of the experiments; one's own comparisons only."""
    if not is_own(race):
        session.leave_notice("this comparison belongs to another browser: begin one of your own")
        return
    try:
        race.vote(choice)
        save_vote(database.get_database(), _record(race.snapshot(), choice))
    except (RequestError, StorageError) as error:
        session.leave_notice(str(error))


def _record(seen: RaceSnapshot, choice: Choice) -> Vote:
    request = seen.request
    return Vote(
        race_id=seen.id,
        owner=request.owner,
        voted_at=time.time(),
        model=request.model_name,
        choice=choice,
        arm_a=request.a.arm,
        arm_b=request.b.arm,
        label_a=race_wording.entrant_label(request.a),
        label_b=race_wording.entrant_label(request.b),
        tokens_per_second_a=seen.tokens_per_second("a"),
        tokens_per_second_b=seen.tokens_per_second("b"),
    )


def _told(seen: RaceSnapshot, *, is_own: bool) -> str:
    preferred = "neither" if seen.vote in (None, "neither") else str(seen.vote).upper()
    who = "You" if is_own else "Its reader"
    labels = " and ".join(race_wording.side_label(seen, side) for side in SIDES)
    return f"{who} preferred {preferred}. It was {labels}."


def _draw_findings(seen: RaceSnapshot) -> None:
    found = verdict(seen)
    said = literal(race_wording.verdict_sentence(seen))
    if found is not None and found.is_clear:
        st.success(said, icon=":material/trophy:")
    else:
        st.info(said, icon=":material/balance:")
    if (is_same := is_same_text(seen)) is None:
        return
    told = literal(race_wording.same_text_sentence(seen))
    if is_same:
        st.success(told, icon=":material/check_circle:")
    elif seen.request.differs_by_draw or race_wording.distribution_verifier(seen.request):
        st.info(told, icon=":material/casino:")
    else:
        st.warning(told, icon=":material/call_split:")


def _draw_charts(seen: RaceSnapshot) -> None:
    drawn = (
        ("Speed", "speeds", speeds_figure, race_wording.speeds(seen)),
        ("Tokens by time, last run of each", "progress", progress_figure, "Tokens by time"),
    )
    grid = st.grid(2, min_column_width=LEAST_WIDTH, gap="medium")
    for caption, name, draw, alt in drawn:
        with grid.cell():
            st.caption(caption)
            st.plotly_chart(
                color_words(draw(seen), st.context.theme.type),
                key=f"race_{name}_{seen.id}",
                config=PICTURE | {"toImageButtonOptions": _picture(name)},
                alt=alt,
            )


def _picture(name: str) -> dict[str, object]:
    """Return how a chart is saved as a picture, by the button above it."""
    return {"format": "png", "filename": f"comparison-{name}", "scale": 2}


def _draw_files(seen: RaceSnapshot) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for label, ending, mime, write in FILES:
            st.download_button(
                label,
                partial(write, seen),
                file_name=f"comparison.{ending}",
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"race_{label.lower()}",
            )
        if verdict(seen) is not None:
            st.caption("A chart is saved as PNG by the camera above it.", width="content")
