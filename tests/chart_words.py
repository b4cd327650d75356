"""Words in charts, for tests."""

from __future__ import annotations

from plotly.graph_objects import Figure


def colors_of_words(figure: Figure) -> set[str]:
    """Return the colours that a figure gives its words by itself."""
    layout = figure.layout
    fonts = [layout.font, layout.legend.font, layout.title.font, layout.title.subtitle.font]
    for axis in (layout.xaxis, layout.yaxis):
        fonts += [axis, axis.tickfont, axis.title.font]
    fonts += [note.font for note in layout.annotations]
    return {font.color for font in fonts if font.color is not None}
