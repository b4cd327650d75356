"""Figures of many rounds and answers: pure functions from measurements to Plotly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

import plotly.graph_objects as go

from utils.charts.style import (
    FAINT,
    FILL,
    LINE,
    NEUTRAL,
    PERCENT,
    REFERENCE,
    axis,
    frame,
    upright,
)
from utils.chat.snapshots import Switch
from utils.performance_monitor import RoundStats
from utils.round_figures import Place

HEIGHT = 236
BAR_HEIGHT = 96
POINT_LIMIT = 400
FEW = 10


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a whole: what it is called, how much it is, and that in words."""

    name: str
    value: float
    said: str


@dataclass(frozen=True, slots=True)
class CostCurve:
    """Seconds of a pass by the number of its tokens, with so many tokens in the cache."""

    depth: int
    seconds: tuple[tuple[int, float], ...]


def speeds_figure(speeds: Sequence[tuple[int, float, float]]) -> go.Figure:
    """Draw tokens a second by number of the answer, and a line of what plain decoding yielded then.

    A plain speed of 0 is not known, and leaves a gap.
    """
    numbers = [number for number, _, _ in speeds]
    written = _finite([speed for _, speed, _ in speeds])
    plain = _finite([known or math.nan for _, _, known in speeds])
    drawn = [
        _line(numbers, plain, REFERENCE, "answer %{x}: %{y:.3g} tokens/s plain", dash="dot"),
        _line(numbers, written, LINE, "answer %{x}: %{y:.3g} tokens/s", dots=True),
    ]
    first, last = min(numbers, default=1), max(numbers, default=1)
    axes = {"rangemode": "tozero"}, _x("answer, the newest last", **_whole(last, first=first))
    return _figure(drawn, *axes, note="" if numbers else "no answers yet")


def places_figure(places: Sequence[Place]) -> go.Figure:
    """Draw the share of drafted tokens that was kept, by place in the draft, 0 to 100%."""
    bars = _bars(
        [place.number for place in places],
        [100 * place.rate for place in places],
        LINE,
        [f"token {place.number}: {place.accepted:,} of {place.drafted:,} kept" for place in places],
    )
    x_axis = _x("place in the draft", **_whole(len(places)))
    return _figure([bars], PERCENT, x_axis, note="" if places else "nothing was drafted")


def lengths_figure(counts: Sequence[int]) -> go.Figure:
    """Draw how many rounds kept 0, 1, 2... drafted tokens."""
    bars = _bars(
        list(range(len(counts))),
        list(counts),
        LINE,
        [f"{length} kept: {count:,} rounds" for length, count in enumerate(counts)],
    )
    ticks = {"dtick": 1} if max(counts, default=0) <= FEW // 2 else {"nticks": 5}
    axes = ticks, _x("drafted tokens kept", dtick=1 if len(counts) <= FEW else 5)
    return _figure([bars], *axes, note="" if counts else "nothing was drafted")


def timeline_figure(
    rounds: Sequence[RoundStats], switches: Sequence[tuple[Switch, str]]
) -> go.Figure:
    """Draw what was drafted, a line, and kept, an area, by token of the answer.

    Where the mode changed stands a mark, which says why.
    """
    ends = list(accumulate(stats.emitted for stats in rounds))
    step = -(-len(rounds) // POINT_LIMIT) or 1
    groups = [rounds[start : start + step] for start in range(0, len(rounds), step)]
    places = [ends[min(start + step, len(rounds)) - 1] for start in range(0, len(rounds), step)]
    drafted = [sum(stats.drafted for stats in group) / len(group) for group in groups]
    accepted = [sum(stats.accepted for stats in group) / len(group) for group in groups]
    top = (1.15 if switches else 1.0) * max([4.0, *drafted])
    if places:
        # Each value holds for the tokens before its place, back to the last one.
        places, drafted, accepted = [0, *places], drafted[:1] + drafted, accepted[:1] + accepted
    area: dict[str, object] = {"fill": "tozeroy", "fillcolor": FILL}
    lines = [
        _line(places, accepted, LINE, "to token %{x}: %{y:.1f} kept", shape="vh") | area,
        _line(places, drafted, REFERENCE, "to token %{x}: %{y:.1f} drafted", shape="vh"),
        _marks(switches, top),
    ]
    shapes = [upright(switch.at_tokens, NEUTRAL) for switch, _ in switches]
    note = "" if any(drafted) else "nothing was drafted" if rounds else "no rounds yet"
    axes = (
        {"range": [0, 1.1 * top], "nticks": 5, "tickformat": "d"},
        _x("token of the answer", nticks=6),
    )
    return _figure([] if note else lines, *axes, note=note, shapes=[] if note else shapes)


def costs_figure(
    curves: Sequence[CostCurve],
    measured: Sequence[tuple[int, float]],
    *,
    chosen_length: int | None = None,
) -> go.Figure:
    """Draw what a pass costs by its number of tokens, and where the chosen draft length lies.

    `measured` are the passes of answers, which the curves of loading are to be held against.
    """
    lines: list[dict[str, object]] = []
    for place, curve in enumerate(curves):
        said = f"%{{x}} tokens, {curve.depth:,} before them: %{{y:.3g}} ms as the engine has it"
        dash = "dot" if place else "solid"
        lines.append(_line(*_milliseconds(curve.seconds), LINE, said, dash=dash))
    if measured:
        said = "%{x} tokens: %{y:.3g} ms in these answers<extra></extra>"
        marker = {"color": REFERENCE, "size": 7}
        x, y = _milliseconds(measured)
        dots = {"type": "scatter", "mode": "markers", "x": x, "y": y, "marker": marker}
        lines.append({**dots, "hovertemplate": said})
    widest = max([width for curve in curves for width, _ in curve.seconds], default=1)
    widest = max([widest, *(width for width, _ in measured)])
    y_axis = {"rangemode": "tozero", "ticksuffix": " ms", "nticks": 5}
    axes = y_axis, _x("tokens in a pass", **_whole(widest))
    note = "" if lines else "not measured yet"
    shapes = [] if chosen_length is None or note else [upright(chosen_length + 1, NEUTRAL)]
    return _figure(lines, *axes, note=note, shapes=shapes)


def shares_figure(shares: Sequence[Share]) -> go.Figure:
    """Draw parts of a whole as one bar, each with its name under it."""
    palette = (LINE, REFERENCE, NEUTRAL, FAINT)
    bars: list[dict[str, object]] = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [share.value],
            "y": [""],
            "name": share.name,
            "marker": {"color": palette[place % len(palette)]},
            "hovertemplate": f"{share.name}: {share.said}<extra></extra>",
        }
        for place, share in enumerate(shares)
        if share.value > 0 and math.isfinite(share.value)
    ]
    bare = axis(visible=False)
    legend = {"orientation": "h", "traceorder": "normal", "x": 0, "y": -0.1, "yanchor": "top"}
    note = "" if bars else "not known yet"
    layout = frame(BAR_HEIGHT, left=0, right=0, top=4, bottom=4, note=note) | {
        "barmode": "stack",
        "showlegend": True,
        "legend": {**legend, "font": {"size": 12}},
        "xaxis": bare,
        "yaxis": bare,
    }
    return go.Figure({"data": bars, "layout": layout})


def _figure(
    data: list[dict[str, object]],
    y_axis: Mapping[str, object],
    x_axis: Mapping[str, object],
    *,
    note: str,
    shapes: Sequence[dict[str, object]] = (),
) -> go.Figure:
    """Build the figure in one piece, which is far cheaper than step by step."""
    own = axis(visible=not note)
    layout = frame(HEIGHT, left=48, bottom=40, note=note) | {
        "bargap": 0.25,
        "xaxis": own | {"showgrid": False} | dict(x_axis),
        "yaxis": own | dict(y_axis),
        "shapes": list(shapes),
    }
    return go.Figure({"data": [] if note else data, "layout": layout})


def _x(title: str, **ticks: object) -> dict[str, object]:
    return {"title": {"text": title, "standoff": 6, "font": {"size": 11}}, **ticks}


def _whole(last: int, *, first: int = 1) -> dict[str, object]:
    """Return an axis of whole numbers."""
    ticks: dict[str, object] = (
        {"dtick": 1} if last - first < FEW else {"nticks": 6, "tickformat": "d"}
    )
    return {"range": [first - 0.5, last + 0.5], **ticks}


def _line(
    x: Sequence[float],
    y: Sequence[float | None],
    color: str,
    said: str,
    *,
    dash: str = "solid",
    shape: str = "linear",
    dots: bool = False,
) -> dict[str, object]:
    return {
        "type": "scatter",
        "x": list(x),
        "y": [value if value is None else round(value, 4) for value in y],
        "mode": "lines+markers" if dots else "lines",
        "marker": {"size": 6, "color": color},
        "line": {"color": color, "width": 2, "dash": dash, "shape": shape},
        "hovertemplate": f"{said}<extra></extra>",
    }


def _bars(
    x: Sequence[int], y: Sequence[float], color: str, said: Sequence[str]
) -> dict[str, object]:
    return {
        "type": "bar",
        "x": list(x),
        "y": list(y),
        "marker": {"color": color},
        "hovertext": list(said),
        "hoverinfo": "text",
    }


def _marks(switches: Sequence[tuple[Switch, str]], y: float) -> dict[str, object]:
    return {
        "type": "scatter",
        "x": [switch.at_tokens for switch, _ in switches],
        "y": [y] * len(switches),
        "mode": "markers",
        "marker": {"symbol": "triangle-down", "size": 11, "color": NEUTRAL},
        # Plotly reads tags in it, and the reasons come from outside.
        "hovertext": [escape(said) for _, said in switches],
        "hoverinfo": "text",
    }


def _milliseconds(times: Sequence[tuple[int, float]]) -> tuple[list[float], list[float | None]]:
    return [width for width, _ in times], _finite([1000 * seconds for _, seconds in times])


def _finite(values: Sequence[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
