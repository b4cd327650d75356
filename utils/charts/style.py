"""What all charts share: colours, and the frame around the lines.

Words have no colour in figures: the page gives them that of its theme, also when the theme changes
while a chart is seen. What is drawn beside them can be told from light ground and from dark.
"""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

TIMES = "\N{MULTIPLICATION SIGN}"
CLEAR = "rgba(0,0,0,0)"
LINE, REFERENCE, NEUTRAL = "#0d9488", "#d9622b", "#7c8894"
FILL, FAINT, GRID = "rgba(13,148,136,.13)", "rgba(124,136,148,.5)", "rgba(124,136,148,.22)"
# As on the page, by the name of the theme.
WORDS = {"light": "#3d403f", "dark": "#bdc0bf"}
PERCENT = {"range": [0, 104], "tickvals": [0, 50, 100], "ticktext": ["0%", "50%", "100%"]}


def frame(
    height: int,
    *,
    left: int = 8,
    right: int = 8,
    top: int = 8,
    bottom: int = 28,
    size: int = 12,
    note: str = "",
) -> dict[str, object]:
    """Return the layout around a chart, in pixels; `note` says why it is empty."""
    return {
        "template": {},
        "height": height,
        "margin": {"l": left, "r": right, "t": top, "b": bottom, "pad": 0},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"size": size},
        "showlegend": False,
        "annotations": [_note(note)] if note else [],
    }


def axis(*, size: int = 12, **more: object) -> dict[str, object]:
    """Return an axis that stays as it is, with what is particular about it."""
    return {
        "gridcolor": GRID,
        "showgrid": True,
        "zeroline": False,
        "fixedrange": True,
        "automargin": False,
        "tickfont": {"size": size},
    } | more


def color_words(figure: go.Figure, theme: str | None) -> go.Figure:
    """Return a figure that keeps its words readable where it is saved as a picture of a theme.

    What the page says of words is not in the picture. Without a theme nothing is changed.
    """
    if color := WORDS.get(theme or ""):
        figure.update_layout(font={"color": color}, legend={"font": {"color": color}})
        for axes in (figure.update_xaxes, figure.update_yaxes):
            axes(tickfont={"color": color})
    return figure


def upright(x: float, color: str = REFERENCE) -> dict[str, object]:
    """Return a dotted line from the bottom of a chart to its top."""
    return {"type": "line", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1} | _dotted(color)


def level(y: float, color: str = REFERENCE) -> dict[str, object]:
    """Return a dotted line from the left of a chart to its right."""
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y} | _dotted(color)


def _dotted(color: str) -> dict[str, Mapping[str, object]]:
    return {"line": {"color": color, "width": 1.5, "dash": "dot"}}


def _note(text: str) -> dict[str, object]:
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    return {"text": text, **place, "font": {"size": 12}}
