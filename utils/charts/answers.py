"""Figures of an answer's rounds: pure functions from measurements to Plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import isfinite

import plotly.graph_objects as go

from utils.charts.style import FILL, LINE, PERCENT, REFERENCE, TIMES, axis, frame, level
from utils.performance_monitor import RoundStats, ratio, rolling_acceptance, rolling_speed

HEIGHT = 132
LETTERS = 11
POINT_LIMIT = 300
WINDOW = 16
SHORT_WINDOW = 4


def acceptance_figure(rounds: Sequence[RoundStats]) -> go.Figure:
    """Draw the rolling acceptance rate by round, 0 to 100%; no line where nothing is drafted."""
    drafted = _rolling_count([stats.drafted for stats in rounds])
    rates = rolling_acceptance(rounds, WINDOW)
    values = [100 * rate if known else None for rate, known in zip(rates, drafted, strict=True)]
    note = "" if any(drafted) else "nothing was drafted" if rounds else "no rounds yet"
    return _figure(values if any(drafted) else [], PERCENT, unit="%", note=note)


def speedup_figure(rounds: Sequence[RoundStats], plain_tokens_per_second: float) -> go.Figure:
    """Draw the rolling speed by round over the measured plain speed, with a line at 1."""
    known = plain_tokens_per_second > 0
    speeds = rolling_speed(rounds, WINDOW) if known else []
    values = [_finite(ratio(speed, plain_tokens_per_second)) for speed in speeds]
    top = max(2.1, 1.15 * max(filter(None, values), default=0.0))
    y_axis = {"range": [0, top], "ticksuffix": TIMES, "nticks": 4}
    note = "" if values else "no rounds yet" if known else "no plain speed<br>to compare with"
    return _figure(values, y_axis, unit=TIMES, note=note, plain=1.0)


def draft_length_figure(rounds: Sequence[RoundStats]) -> go.Figure:
    """Draw how many tokens were drafted, a line, and accepted, an area, in the newest rounds."""
    drafted = _rolling_mean([stats.drafted for stats in rounds])
    accepted = _rolling_mean([stats.accepted for stats in rounds])
    y_axis = {"range": [0, 1.1 * max([4.0, *drafted])], "nticks": 4, "tickformat": "d"}
    if not any(drafted):
        note = "nothing was drafted" if rounds else "no rounds yet"
        return _figure([], y_axis, unit="", note=note)
    return _figure(accepted, y_axis, unit=" accepted", above=drafted, above_unit=" drafted")


def _figure(
    values: Sequence[float | None],
    y_axis: Mapping[str, object],
    *,
    unit: str,
    note: str = "",
    plain: float | None = None,
    above: Sequence[float] = (),
    above_unit: str = "",
) -> go.Figure:
    """Build the figure in one piece, which is far cheaper than step by step.

    `values` are an area under a line, `above` is a second line without one, and `plain` a level.
    """
    rounds, shown = _thin(values)
    area = {"fill": "tozeroy", "fillcolor": FILL}
    lines = [_line(rounds, shown, LINE, unit) | area]
    if above:
        lines.append(_line(*_thin(above), REFERENCE, above_unit))
    own = axis(size=LETTERS, visible=bool(rounds))
    layout = frame(HEIGHT, left=44, top=6, bottom=20, size=LETTERS, note=note) | {
        "xaxis": own | {"showgrid": False, "nticks": 5, "tickformat": "d"},
        "yaxis": own | dict(y_axis),
        "shapes": [level(plain)] if rounds and plain is not None else [],
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
        "hovertemplate": f"round %{{x}}: %{{y:.2f}}{unit}<extra></extra>",
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
