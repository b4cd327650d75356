"""The figures of an experiment: a verdict, a table of both arms, two charts, and a file of all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from pages.parts.charts import CONFIG, LEAST_WIDTH
from pages.parts.rollout import draw_new_experiment
from utils.charts.experiments import effects_figure, speeds_figure
from utils.chat.markdown import literal
from utils.experiments.effects import METRICS, Effect, compare_arms
from utils.experiments.export import to_csv
from utils.experiments.outcomes import Outcome
from utils.experiments.rollout import Rollout
from utils.experiments.wording import arm_table, effect_text, plan_sentence, verdict

ALL_MODELS = "All models"
MODEL = "experiment_model"


def draw_figures(outcomes: Sequence[Outcome], rollout: Rollout) -> None:
    """Draw what was measured since the experiment began."""
    st.header("What drafting does", anchor=False)
    shown = _of_model(outcomes)
    effects = [compare_arms(shown, metric) for metric in METRICS]
    found = verdict(effects[0])
    box = st.success if found.is_decided else st.info
    box(literal(found.sentence), icon=":material/balance:")
    if shown:
        _draw_table(effects)
        _draw_charts(shown, effects)
    began = datetime.fromtimestamp(rollout.began_at, UTC)
    st.caption(f"Counted since {began:%d %B %Y, %H:%M} UTC. {plan_sentence()}")
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Download CSV",
            to_csv(outcomes),
            file_name=f"experiment-{rollout.experiment}.csv",
            mime="text/csv",
            icon=":material/download:",
            disabled=not outcomes,
            on_click="ignore",
            help="One line an answer: figures and ratings, no text, and browsers by pseudonyms.",
            key="download_outcomes",
        )
        draw_new_experiment()


def _of_model(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Let the user look at one model alone, where several answered."""
    models = sorted({outcome.model for outcome in outcomes})
    if len(models) < 2:
        return outcomes
    chosen = st.selectbox("Model", [ALL_MODELS, *models], key=MODEL, persist_state="session")
    if chosen == ALL_MODELS:
        return outcomes
    return [outcome for outcome in outcomes if outcome.model == chosen]


def _draw_table(effects: Sequence[Effect]) -> None:
    rows = arm_table(effects)
    names = [row[0] for row in rows]
    columns = ("Standard", "Speculative", "Speculative against standard")
    st.table(pd.DataFrame([row[1:] for row in rows], index=names, columns=columns))


def _draw_charts(outcomes: Sequence[Outcome], effects: Sequence[Effect]) -> None:
    speed = effects[0]
    charts = (
        (
            "Speculative against standard, with 95% intervals",
            effects_figure(effects),
            f"Effects of drafting; {speed.metric.label}: {effect_text(speed)}",
        ),
        (
            "Tokens per second, each answer a dot",
            speeds_figure(outcomes),
            f"Tokens per second of {speed.answers} answers by arm",
        ),
    )
    grid = st.grid(2, min_column_width=LEAST_WIDTH, gap="medium")
    for title, figure, alt in charts:
        with grid.cell():
            st.caption(title)
            st.plotly_chart(figure, key=f"chart_{title}", config=CONFIG, alt=alt)
