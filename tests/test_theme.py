"""Colours that axe-core does not look at: those of charts, on the grounds of the theme."""

from __future__ import annotations

import tomllib

import pytest

from config import ROOT
from utils.charts.style import LINE, NEUTRAL, REFERENCE

TEXT, SHAPE = 4.5, 3.0
THEME = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]


def luminance(color):
    """As WCAG 2.2 defines it."""
    shares = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(color, ground):
    darker, lighter = sorted((luminance(color), luminance(ground)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("color", [LINE, REFERENCE, NEUTRAL])
def test_what_charts_draw_can_be_seen_on_any_page(name, color):
    assert contrast(color, THEME[name]["backgroundColor"]) >= SHAPE


@pytest.mark.parametrize("name", ["light", "dark"])
def test_white_words_can_be_read_on_a_button(name):
    assert contrast("#ffffff", THEME[name]["primaryColor"]) >= TEXT


def test_contrast_is_that_of_the_standard():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
