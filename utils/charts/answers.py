"""Figures of an answer's rounds: pure functions from measurements to Plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import isfinite

import plotly.graph_objects as go

from utils.charts.style import FONT, HEIGHT, TIMES, ChartColors
from utils.performance_monitor import RoundStats, ratio, rolling_acceptance, rolling_speed

POINT_LIMIT = 300
WINDOW = 16
SHORT_WINDOW = 4


def acceptance_figure(rounds: Sequence[RoundStats], colors: ChartColors) -> go.Figure:
    """Draw the rolling acceptance rate by round, 0 to 100 %; no line where nothing is drafted."""
    drafted = _rolling_count([stats.drafted for stats in rounds])
    rates = rolling_acceptance(rounds, WINDOW)
    values = [100 * rate if known else None for rate, known in zip(rates, drafted, strict=True)]
    axis = {"range": [0, 104], "tickvals": [0, 50, 100], "ticktext": ["0 %", "50 %", "100 %"]}
    note = "" if any(drafted) else "nothing was drafted" if rounds else "no rounds yet"
    return _figure(values if any(drafted) else [], axis, colors, unit="%", note=note)


def speedup_figure(
    rounds: Sequence[RoundStats], plain_tokens_per_second: float, colors: ChartColors
) -> go.Figure:
    """Draw the rolling speed by round over the measured plain speed, with a line at 1."""
    known = plain_tokens_per_second > 0
    speeds = rolling_speed(rounds, WINDOW) if known else []
    values = [_finite(ratio(speed, plain_tokens_per_second)) for speed in speeds]
    top = max(2.1, 1.15 * max(filter(None, values), default=0.0))
    axis = {"range": [0, top], "ticksuffix": f" {TIMES}", "nticks": 4}
    note = "" if values else "no rounds yet" if known else "no plain speed to compare with"
    return _figure(values, axis, colors, unit=TIMES, note=note, level=1.0)


def draft_length_figure(rounds: Sequence[RoundStats], colors: ChartColors) -> go.Figure:
    """Draw how many tokens were drafted, a line, and accepted, an area, in the newest rounds."""
    drafted = _rolling_mean([stats.drafted for stats in rounds])
    accepted = _rolling_mean([stats.accepted for stats in rounds])
    axis = {"range": [0, 1.1 * max([4.0, *drafted])], "nticks": 4, "tickformat": "d"}
    if not any(drafted):
        note = "nothing was drafted" if rounds else "no rounds yet"
        return _figure([], axis, colors, unit="", note=note)
    return _figure(accepted, axis, colors, unit="accepted", above=drafted, above_unit="drafted")


def _figure(
    values: Sequence[float | None],
    y_axis: Mapping[str, object],
    colors: ChartColors,
    *,
    unit: str,
    note: str = "",
    level: float | None = None,
    above: Sequence[float] = (),
    above_unit: str = "",
) -> go.Figure:
    """Build the figure in one piece, which is far cheaper than step by step.

    `values` are an area under a line, `above` is a second line without one.
    """
    rounds, shown = _thin(values)
    axis = {"gridcolor": colors.grid, "zeroline": False, "fixedrange": True, "color": colors.text}
    x_axis = {"showgrid": False, "nticks": 5, "tickformat": "d"}
    area = {"fill": "tozeroy", "fillcolor": colors.fill}
    lines = [_line(rounds, shown, colors.line, unit) | area]
    if above:
        lines.append(_line(*_thin(above), colors.reference, above_unit))
    layout = {
        "template": {},
        "height": HEIGHT,
        "margin": {"l": 44, "r": 8, "t": 6, "b": 20},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": colors.text, "size": 11, "family": FONT},
        "showlegend": False,
        "xaxis": axis | x_axis | {"visible": bool(rounds)},
        "yaxis": axis | dict(y_axis) | {"visible": bool(rounds)},
        "annotations": [_note(note, colors)] if note else [],
        "shapes": [_level(level, colors)] if rounds and level is not None else [],
    }
    return go.Figure({"data": lines, "layout": layout})


def _line(
    rounds: list[int], values: list[float | None], color: str, unit: str
) -> dict[str, object]:
    return {
        "type": "scatter",
        "x": rounds,
        "y": values,
        "mode": "lines",
        "line": {"color": color, "width": 2},
        "hovertemplate": f"round %{{x}}: %{{y:.2f}} {unit}<extra></extra>",
    }


def _thin(values: Sequence[float | None]) -> tuple[list[int], list[float | None]]:
    """Return round numbers and values, evenly thinned; the newest is always there."""
    step = -(-len(values) // POINT_LIMIT) or 1
    numbers = range(len(values), 0, -step)[::-1]
    kept = [values[number - 1] for number in numbers]
    return list(numbers), [value if value is None else round(value, 3) for value in kept]


def _rolling_count(counts: Sequence[int]) -> list[int]:
    """Return the sum of the last `WINDOW` counts, at each."""
    sums = [0, *accumulate(counts)]
    return [sums[n] - sums[max(0, n - WINDOW)] for n in range(1, len(sums))]


def _rolling_mean(counts: Sequence[int]) -> list[float]:
    """Return the mean of the last `SHORT_WINDOW` counts, at each."""
    sums = [0, *accumulate(counts)]
    return [
        (sums[n] - sums[max(0, n - SHORT_WINDOW)]) / min(n, SHORT_WINDOW)
        for n in range(1, len(sums))
    ]


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _note(text: str, colors: ChartColors) -> dict[str, object]:
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    return {"text": text, **place, "font": {"color": colors.text, "size": 12}}


def _level(value: float, colors: ChartColors) -> dict[str, object]:
    line = {"color": colors.reference, "width": 1.5, "dash": "dot"}
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": value,
        "y1": value,
        "line": line,
    }
