"""Figures of an experiment: pure functions from outcomes and effects to Plotly."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

import plotly.graph_objects as go

from utils.charts.style import LINE, REFERENCE, TIMES, axis, frame, upright
from utils.experiments.effects import Effect
from utils.experiments.outcomes import Outcome
from utils.experiments.rollout import Arm

POINT_LIMIT = 400
ROW_HEIGHT, FRAME_HEIGHT = 44, 56
ARMS: tuple[Arm, ...] = ("standard", "speculative")
_SPREAD = 0.28
_FACTORS = (0.1, 0.2, 0.25, 0.33, 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 10.0)
_TICKS = 6
_WIDEST = 1.05


def effects_figure(effects: Sequence[Effect]) -> go.Figure:
    """Draw each effect that is a factor as a dot with its interval, and a line at 1."""
    known = [effect for effect in reversed(effects) if effect.metric.is_ratio and effect.value]
    ends = [
        end
        for effect in known
        for end in (effect.value, effect.low, effect.high)
        if end is not None and end > 0
    ]
    traces = [_dot(effect, place) for place, effect in enumerate(known)]
    axes = {
        "xaxis": axis() | _factor_axis(ends),
        "yaxis": axis() | _names([effect.metric.label for effect in known]),
        "shapes": [upright(1.0)] if known else [],
    }
    note = "" if known else "nothing to compare yet"
    return go.Figure({"data": traces, "layout": _layout(len(known), note) | axes})


def speeds_figure(outcomes: Sequence[Outcome]) -> go.Figure:
    """Draw the speed of every answer as a dot, in a row for each arm; the newest if many."""
    shown = [outcome for outcome in outcomes if outcome.tokens_per_second > 0][-POINT_LIMIT:]
    traces = [_dots(shown, arm, place) for place, arm in enumerate(ARMS)]
    axes = {
        "xaxis": axis(rangemode="tozero", nticks=6, visible=bool(shown)),
        "yaxis": axis() | _names([arm.capitalize() for arm in ARMS]),
    }
    note = "" if shown else "no answers yet"
    layout = _layout(len(ARMS) if shown else 0, note) | axes
    return go.Figure({"data": traces if shown else [], "layout": layout})


def _dot(effect: Effect, place: int) -> dict[str, object]:
    value, low, high = effect.value or 1.0, effect.low, effect.high
    interval = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [value],
        "y": [place],
        "marker": {"color": LINE, "size": 11},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [(high or value) - value],
            "arrayminus": [value - (low or value)],
            "color": LINE,
            "thickness": 2,
            "width": 5,
        },
        "hovertemplate": f"{effect.metric.label}: {value:.2f}{TIMES}{interval}<extra></extra>",
    }


def _dots(outcomes: Sequence[Outcome], arm: Arm, place: int) -> dict[str, object]:
    speeds = [outcome.tokens_per_second for outcome in outcomes if outcome.arm == arm]
    # Golden steps spread neighbours apart, and the same answers always lie in the same places.
    heights = [place + _SPREAD * (2 * (0.618034 * n % 1) - 1) for n in range(len(speeds))]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [round(speed, 2) for speed in speeds],
        "y": [round(height, 3) for height in heights],
        "marker": {
            "color": REFERENCE if arm == "standard" else LINE,
            "size": 7,
            "opacity": 0.7,
        },
        "hovertemplate": f"{arm}: %{{x:.1f}} tokens/s<extra></extra>",
    }


def _factor_axis(ends: Sequence[float]) -> dict[str, object]:
    """Return a logarithmic axis, as far to the left as to the right, with few numbers on it."""
    reach = min(_WIDEST, 1.15 * max([log10(1.5), *(abs(log10(end)) for end in ends)]))
    inside = [factor for factor in _FACTORS if abs(log10(factor)) <= reach]
    step = -(-len(inside) // _TICKS)
    middle = inside.index(1.0)
    ticks = [factor for place, factor in enumerate(inside) if (place - middle) % step == 0]
    return {
        "type": "log",
        "range": [-reach, reach],
        "tickvals": ticks,
        "ticktext": [f"{factor:g}{TIMES}" for factor in ticks],
        "visible": bool(ends),
    }


def _names(names: Sequence[str]) -> dict[str, object]:
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "range": [-0.6, len(names) - 0.4],
        "showgrid": False,
        "ticks": "",
        "automargin": True,
        "visible": bool(names),
    }


def _layout(rows: int, note: str) -> dict[str, object]:
    return frame(FRAME_HEIGHT + ROW_HEIGHT * max(1, rows), right=12, note=note)
