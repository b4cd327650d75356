"""Figures of a comparison: pure functions from its runs to Plotly, whole enough to be a picture."""

from __future__ import annotations

import html
from collections.abc import Iterable
from itertools import accumulate
from textwrap import wrap

import plotly.graph_objects as go

from utils.charts.style import FONT, TIMES, ChartColors
from utils.chat.race_snapshots import SIDES, RaceSnapshot, Run, Side, verdict
from utils.chat.race_wording import conditions, side_label
from utils.chat.wording import figure

SPEEDS_HEIGHT, PROGRESS_HEIGHT = 250, 250
POINT_LIMIT = 300
LABEL_CHARS = 60


def speeds_figure(race: RaceSnapshot, colors: ChartColors, *, paper: str) -> go.Figure:
    """Draw the median speed of both sides, a bar each, and every run as a dot."""
    runs = {
        side: [run.answer.stats.tokens_per_second for run in race.ended(side)] for side in SIDES
    }
    top = max([1.0, *runs["a"], *runs["b"]])
    traces = []
    notes = []
    for place, side in zip((1, 0), SIDES, strict=True):
        speed = race.tokens_per_second(side) if runs[side] else 0.0
        traces += [
            {
                "type": "bar",
                "orientation": "h",
                "x": [round(speed, 2)],
                "y": [place],
                "width": 0.36,
                "marker": {"color": _color(side, colors), "opacity": 0.78},
                "hovertemplate": "median %{x:.1f} tokens/s<extra></extra>",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "x": runs[side],
                "y": [place] * len(runs[side]),
                "marker": {
                    "color": paper,
                    "size": 8,
                    "line": {"color": colors.text, "width": 1.5},
                },
                "hovertemplate": "one run: %{x:.1f} tokens/s<extra></extra>",
            },
        ]
        shown = f"<b>{figure(speed)} tokens/s</b>" if runs[side] else "no run yet"
        label = f"{_plain(side_label(race, side))}: {shown}"
        notes.append(_label(label, place + 0.34, colors))
    axes = {
        "xaxis": _axis(colors) | {"range": [0, 1.08 * top], "nticks": 5},
        "yaxis": {"visible": False, "range": [-0.4, 1.62], "fixedrange": True},
    }
    layout = _layout(race, colors, paper, SPEEDS_HEIGHT, _title(race))
    return go.Figure({"data": traces, "layout": layout | axes | {"annotations": notes}})


def progress_figure(race: RaceSnapshot, colors: ChartColors, *, paper: str) -> go.Figure:
    """Draw how many tokens each side had after how long, of its last run that counts."""
    traces = [_progress(race, runs[-1], colors) for side in SIDES if (runs := race.ended(side))]
    axes = {
        "xaxis": _axis(colors) | {"rangemode": "tozero", "ticksuffix": " s", "nticks": 6},
        "yaxis": _axis(colors) | {"rangemode": "tozero", "nticks": 4, "tickformat": "d"},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }
    layout = _layout(race, colors, paper, PROGRESS_HEIGHT, "")
    return go.Figure({"data": traces, "layout": layout | axes})


def _speeds(runs: Iterable[Run]) -> list[float]:
    return [round(run.answer.stats.tokens_per_second, 2) for run in runs]


def _progress(race: RaceSnapshot, run: Run, colors: ChartColors) -> dict[str, object]:
    rounds = run.answer.rounds
    ends_s = [0.0, *accumulate(stats.total_s for stats in rounds)]
    tokens = [0, *accumulate(stats.emitted for stats in rounds)]
    step = -(-len(ends_s) // POINT_LIMIT) or 1
    kept = sorted({*range(0, len(ends_s), step), len(ends_s) - 1})
    return {
        "type": "scatter",
        "mode": "lines",
        "name": _plain(side_label(race, run.side)),
        "x": [round(ends_s[n], 4) for n in kept],
        "y": [tokens[n] for n in kept],
        "line": {
            "color": _color(run.side, colors),
            "width": 2.5,
            "dash": "dot" if run.side == "a" else "solid",
        },
        "hovertemplate": "%{y} tokens after %{x:.2f} s<extra></extra>",
    }


def _title(race: RaceSnapshot) -> str:
    """Return what was found, as short as a heading."""
    found = verdict(race)
    if found is None:
        return ""
    slower: Side = "b" if found.faster == "a" else "a"
    fact = f"{found.faster.upper()} {found.speedup:.2f}{TIMES} as fast as {slower.upper()}"
    if found.interval is not None:
        fact += f" ({found.interval[0]:.2f} to {found.interval[1]:.2f})"
    lines = wrap(conditions(race.request), LABEL_CHARS, max_lines=2)
    return "<br>".join([f"<b>{fact}</b>", *(f"<sup>{_plain(line)}</sup>" for line in lines)])


def _layout(
    race: RaceSnapshot, colors: ChartColors, paper: str, height: int, title: str
) -> dict[str, object]:
    head = {"title": {"text": title, "x": 0, "xanchor": "left", "font": {"size": 14}}}
    return {
        "template": {},
        "height": height,
        "margin": {"l": 36, "r": 12, "t": 74 if title else 34, "b": 28},
        # A picture is kept and shown elsewhere: it needs a ground of its own.
        "paper_bgcolor": paper,
        "plot_bgcolor": paper,
        "font": {"color": colors.text, "size": 12, "family": FONT},
        "showlegend": False,
        "meta": race.id,
    } | (head if title else {})


def _axis(colors: ChartColors) -> dict[str, object]:
    return {"gridcolor": colors.grid, "zeroline": False, "fixedrange": True, "color": colors.text}


def _label(text: str, y: float, colors: ChartColors) -> dict[str, object]:
    place = {"x": 0, "y": y, "xref": "x", "yref": "y", "xanchor": "left", "showarrow": False}
    return {"text": text, **place, "font": {"color": colors.text, "size": 12}}


def _color(side: Side, colors: ChartColors) -> str:
    return colors.reference if side == "a" else colors.line


def _plain(text: str) -> str:
    """Return text that Plotly shows as it is: it takes some HTML for its own."""
    short = text if len(text) <= LABEL_CHARS else f"{text[:LABEL_CHARS]}\N{HORIZONTAL ELLIPSIS}"
    return html.escape(short, quote=False)
