"""Figures of a comparison: pure functions from its runs to Plotly, whole enough to be a picture."""

from __future__ import annotations

import html
from itertools import accumulate
from textwrap import wrap

import plotly.graph_objects as go

from utils.charts.style import LINE, REFERENCE, TIMES, axis, frame
from utils.chat.race_snapshots import SIDES, RaceSnapshot, Run, Side, verdict
from utils.chat.race_wording import conditions, side_label
from utils.chat.wording import figure

HEIGHT = 250
POINT_LIMIT = 300
# What fits beside each other on a phone; Plotly breaks no lines, and cuts what is longer.
LINE_CHARS = 52
COLORS: dict[Side, str] = {"a": REFERENCE, "b": LINE}
# Seen on a bar and beside it, on any ground.
DOT = {"color": "#ffffff", "size": 8, "line": {"color": "#374151", "width": 1.5}}
BREAK, ELLIPSIS, FIXED_SPACE = "<br>", "\N{HORIZONTAL ELLIPSIS}", "\N{NO-BREAK SPACE}"


def speeds_figure(race: RaceSnapshot) -> go.Figure:
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
                "marker": {"color": COLORS[side], "opacity": 0.78},
                "hovertemplate": "median %{x:.1f} tokens/s<extra></extra>",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "x": runs[side],
                "y": [place] * len(runs[side]),
                "marker": DOT,
                "hovertemplate": "one run: %{x:.1f} tokens/s<extra></extra>",
            },
        ]
        notes.append(_label(race, side, speed, place + 0.2))
    layout = _layout(race, _title(race)) | {
        "xaxis": axis(range=[0, 1.08 * top], nticks=5),
        "yaxis": {"visible": False, "range": [-0.3, 1.7], "fixedrange": True},
        "annotations": notes,
    }
    return go.Figure({"data": traces, "layout": layout})


def progress_figure(race: RaceSnapshot) -> go.Figure:
    """Draw how many tokens each side had after how long, of its last run that counts."""
    traces = [_progress(race, runs[-1]) for side in SIDES if (runs := race.ended(side))]
    place = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    layout = _layout(race) | {
        "xaxis": axis(rangemode="tozero", ticksuffix=" s", nticks=6),
        "yaxis": axis(rangemode="tozero", nticks=4, tickformat="d"),
        "showlegend": True,
        "legend": {**place, "font": {"size": 12}},
    }
    return go.Figure({"data": traces, "layout": layout})


def _progress(race: RaceSnapshot, run: Run) -> dict[str, object]:
    rounds = run.answer.rounds
    ends_s = [0.0, *accumulate(stats.total_s for stats in rounds)]
    tokens = [0, *accumulate(stats.emitted for stats in rounds)]
    step = -(-len(ends_s) // POINT_LIMIT) or 1
    kept = sorted({*range(0, len(ends_s), step), len(ends_s) - 1})
    return {
        "type": "scatter",
        "mode": "lines",
        "name": _lines(side_label(race, run.side), 1),
        "x": [round(ends_s[n], 4) for n in kept],
        "y": [tokens[n] for n in kept],
        "line": {
            "color": COLORS[run.side],
            "width": 2.5,
            "dash": "dot" if run.side == "a" else "solid",
        },
        "hovertemplate": "%{y} tokens after %{x:.2f} s<extra></extra>",
    }


def _title(race: RaceSnapshot) -> dict[str, object] | None:
    """Return what was found, as short as a heading, and under which conditions."""
    found = verdict(race)
    if found is None:
        return None
    slower: Side = "b" if found.faster == "a" else "a"
    fact = f"{found.faster.upper()} {found.speedup:.2f}{TIMES} as fast as {slower.upper()}"
    if found.interval is not None:
        fact += f" ({found.interval[0]:.2f} to {found.interval[1]:.2f})"
    # Broken between conditions, never inside one.
    said = conditions(race.request).replace(" ", FIXED_SPACE).replace(f",{FIXED_SPACE}", ", ")
    subtitle = {"text": _lines(said, 3), "font": {"size": 11}}
    place = {"x": 0, "xanchor": "left", "y": 0.97, "yanchor": "top"}
    return {"text": fact, "subtitle": subtitle, "font": {"size": 14}, **place}


def _layout(race: RaceSnapshot, title: dict[str, object] | None = None) -> dict[str, object]:
    lines = str(title["subtitle"]).count(BREAK) + 1 if title else 0
    layout = frame(HEIGHT + 14 * lines, left=36, right=12, top=44 + 14 * lines)
    # A picture is kept and shown elsewhere: it needs a ground of its own, which is the theme's.
    del layout["paper_bgcolor"], layout["plot_bgcolor"]
    return layout | {"meta": race.id} | ({"title": title} if title else {})


def _label(race: RaceSnapshot, side: Side, speed: float, y: float) -> dict[str, object]:
    shown = f"{figure(speed)}{FIXED_SPACE}tokens/s" if speed else "no run yet"
    text = _lines(f"{shown} · {side_label(race, side)}", 2)
    place = {"x": 0, "y": y, "xref": "x", "yref": "y", "xanchor": "left", "yanchor": "bottom"}
    return {
        "text": text.replace(shown, f"<b>{shown}</b>", 1),
        "align": "left",
        "showarrow": False,
        "font": {"size": 12},
        **place,
    }


def _lines(text: str, most: int) -> str:
    """Return so many lines at most, which Plotly shows as they are: it takes HTML for its own."""
    shown = wrap(text, LINE_CHARS, max_lines=most, placeholder=ELLIPSIS)
    return BREAK.join(html.escape(line, quote=False) for line in shown)
