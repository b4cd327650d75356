"""The report as one HTML file that needs nothing from the network: Plotly charts and tables."""

from __future__ import annotations

from html import escape
from typing import Any

import plotly.graph_objects as go
import plotly.io

from benchmarks.comparison import Comparison
from benchmarks.report import PairResult, Report
from benchmarks.rig import ADAPTIVE, Way
from benchmarks.tables import html_table

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#111827;max-width:72rem;margin:2rem auto;"
    "padding:0 1rem}h2{font-size:1.1rem;margin:2.5rem 0 .5rem}table{border-collapse:collapse;"
    "font-size:.85rem;display:block;overflow-x:auto}td,th{padding:.3rem .6rem;text-align:right;"
    "border-bottom:1px solid #e5e7eb}td:first-child,th:first-child{text-align:left}"
)
LINE, REFERENCE, GRID = "#0f766e", "#9a3412", "rgba(17,24,39,.09)"
OTHERS = ("#94a3b8", "#cbd5e1", "#64748b")


def as_html(report: Report) -> str:
    """Return the page."""
    parts = [f"<p>{escape(report.conditions)}</p>"]
    script = True  # of Plotly, once
    for pair in report.measured:
        figures = [category_figure(pair), sweep_figure(pair)]
        parts.append(f"<h2>{escape(pair.title)}</h2>")
        for figure in figures:
            if figure is not None:
                parts.append(plotly.io.to_html(figure, full_html=False, include_plotlyjs=script))
                script = False
    for table in report.tables():
        parts.append(f"<h2>{escape(table.title)}</h2>{html_table(table.rows)}")
    head = f'<meta charset="utf-8"><title>SpecChat benchmarks</title><style>{STYLE}</style>'
    body = f"<h1>SpecChat benchmarks</h1>{''.join(parts)}"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def category_figure(pair: PairResult) -> go.Figure:
    """Draw the speedup by category with its interval: adaptive and the best fixed length."""
    comparison = pair.comparison
    best = comparison.best_fixed
    shown = [way for way in pair.ways if way in (ADAPTIVE, best)] or [pair.ways[0]]
    names = [category.name for category in comparison.rows(shown[0])]
    bars = [
        _bars(comparison, way, names, color)
        for way, color in zip(shown, (LINE, *OTHERS), strict=False)
    ]
    return go.Figure({"data": bars, "layout": _layout("speedup over plain")})


def sweep_figure(pair: PairResult) -> go.Figure | None:
    """Draw the mean over categories by fixed draft length, with adaptive as a level."""
    comparison = pair.comparison
    lines = []
    for color, drafter in zip(OTHERS[::2], ("model", "lookup"), strict=True):
        ways = sorted(
            (way for way in pair.ways if way.drafter == drafter), key=lambda way: way.length
        )
        if len(ways) > 1:
            means = [round(comparison.mean(way), 3) for way in ways]
            lengths = [way.length for way in ways]
            style = {"type": "scatter", "mode": "lines+markers", "marker": {"color": color}}
            lines.append({**style, "x": lengths, "y": means, "name": f"{drafter}, fixed length"})
    if not lines:
        return None
    layout = _layout("mean speedup over categories")
    layout["xaxis"] = {**layout["xaxis"], "title": {"text": "draft length"}, "dtick": 1}
    if ADAPTIVE in pair.ways:
        layout["shapes"].append(_level(comparison.mean(ADAPTIVE), LINE, "adaptive"))
    return go.Figure({"data": lines, "layout": layout})


def _bars(comparison: Comparison, way: Way, names: list[str], color: str) -> dict[str, Any]:
    found = {category.name: category for category in comparison.rows(way)}
    categories = [found[name] for name in names]
    return {
        "type": "bar",
        "name": way.name,
        "x": names,
        "y": [round(category.speedup, 3) for category in categories],
        "marker": {"color": color},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [category.high - category.speedup for category in categories],
            "arrayminus": [category.speedup - category.low for category in categories],
            "thickness": 1,
        },
    }


def _layout(title: str) -> dict[str, Any]:
    return {
        "template": {},
        "height": 340,
        "margin": {"l": 56, "r": 16, "t": 16, "b": 64},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": True,
        "barmode": "group",
        "xaxis": {"gridcolor": GRID},
        "yaxis": {"gridcolor": GRID, "title": {"text": title}, "rangemode": "tozero"},
        "shapes": [_level(1.0, REFERENCE, "plain")],
    }


def _level(value: float, color: str, name: str) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": value,
        "y1": value,
        "line": {"color": color, "width": 1.5, "dash": "dot"},
        "label": {"text": name, "textposition": "end", "font": {"size": 11, "color": color}},
    }
