"""What all charts share: colours of the theme, font, and the frame around the lines."""

from __future__ import annotations

from dataclasses import dataclass

FONT = "'Source Sans', sans-serif"
TIMES = "\N{MULTIPLICATION SIGN}"
HEIGHT = 132


@dataclass(frozen=True, slots=True)
class ChartColors:
    """Colours that suit the page's theme, as CSS."""

    line: str
    fill: str
    text: str
    grid: str
    reference: str


LIGHT = ChartColors(
    line="#0f766e",
    fill="rgba(15,118,110,.10)",
    text="#4b5563",
    grid="rgba(17,24,39,.09)",
    reference="#9a3412",
)
DARK = ChartColors(
    line="#5eead4",
    fill="rgba(94,234,212,.10)",
    text="#a7b0bd",
    grid="rgba(229,231,235,.12)",
    reference="#fdba74",
)
