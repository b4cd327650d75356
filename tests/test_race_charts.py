from __future__ import annotations

import re
from dataclasses import replace

import pytest

from config import SpeculativeConfig
from tests.chart_words import colors_of_words
from tests.chat.racing import answer, race, request
from tests.test_theme import TEXT, THEME, contrast
from utils.charts.races import LINE_CHARS, POINT_LIMIT, progress_figure, speeds_figure
from utils.charts.style import TIMES, color_words
from utils.chat.race_snapshots import Entrant

SLOW, FAST = answer(token_s=0.02), answer(token_s=0.01)
SEEN = race(("a", SLOW), ("b", FAST), ("b", FAST))


def labels(figure):
    return [note.text for note in figure.layout.annotations]


def test_each_side_has_a_bar_of_its_median_and_a_dot_for_every_run():
    figure = speeds_figure(SEEN)
    assert [trace.type for trace in figure.data] == ["bar", "scatter", "bar", "scatter"]
    assert [trace.x[0] for trace in figure.data if trace.type == "bar"] == [50, 100]
    assert [len(trace.x) for trace in figure.data if trace.type == "scatter"] == [1, 2]
    assert labels(figure) == [
        "<b>50.0\u00a0tokens/s</b> · A: Standard",
        "<b>100\u00a0tokens/s</b> · B: Speculative",
    ]


def test_a_side_that_has_not_run_says_so_instead_of_zero():
    assert "no run yet" in labels(speeds_figure(race(("a", SLOW))))[1]


@pytest.mark.parametrize("draw", [speeds_figure, progress_figure])
def test_a_picture_has_ground_and_words_in_the_colours_of_the_theme(draw):
    figure = draw(SEEN)
    assert figure.layout.paper_bgcolor is figure.layout.plot_bgcolor is None
    assert colors_of_words(figure) == set()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("draw", [speeds_figure, progress_figure])
def test_words_of_a_saved_picture_can_be_read_on_the_ground_of_the_theme(draw, theme):
    figure = color_words(draw(SEEN), theme)
    colors = colors_of_words(figure)
    assert None not in {figure.layout.font.color, figure.layout.xaxis.tickfont.color}
    assert min(contrast(color, THEME[theme]["backgroundColor"]) for color in colors) >= TEXT


def test_the_picture_says_what_was_found_and_under_which_conditions():
    title = speeds_figure(SEEN).layout.title
    assert title.text == f"B 2.00{TIMES} as fast as A"
    lines = title.subtitle.text.replace("\u00a0", " ").split("<br>")
    assert "temperature 0, seed 7" in " ".join(lines)
    assert all(line.endswith(",") for line in lines[:-1])


def test_names_of_models_are_not_read_as_markup():
    seen = replace(SEEN, request=request(model_name="<a href='x'>m</a>"))
    subtitle = speeds_figure(seen).layout.title.subtitle.text
    assert "<a" not in subtitle
    assert "&lt;a" in subtitle


def test_no_line_is_longer_than_a_phone_is_wide():
    name = "hf.co/a-maker-of-models/A-Model-With-A-Long-Name-Instruct-GGUF:Q4_K_M"
    drafted = SpeculativeConfig(draft_model=name, draft_length="fixed", verifier="block")
    asked = request(model_name=name, b=Entrant(drafted))
    seen = race(("a", SLOW), ("b", FAST), asked=asked)
    bars, lines = speeds_figure(seen), progress_figure(seen)
    texts = [bars.layout.title.subtitle.text, *labels(bars), *(line.name for line in lines.data)]
    shown = [line for text in texts for line in re.sub("</?b>", "", text).split("<br>")]
    assert max(map(len, shown)) <= LINE_CHARS
    assert any(line.startswith("100\u00a0tokens/s · B") for line in shown)


def test_both_sides_are_drawn_from_nothing_to_their_last_token():
    a, b = progress_figure(SEEN).data
    assert (a.x[0], a.y[0], a.x[-1], a.y[-1]) == (0, 0, pytest.approx(0.06), 3)
    assert b.x[-1] == pytest.approx(0.03)
    assert a.line.dash != b.line.dash


def test_long_answers_are_thinned_and_keep_their_end():
    words = [" word"] * 900
    seen = race(("a", answer(words)), ("b", answer(words)))
    a, _ = progress_figure(seen).data
    assert len(a.x) <= POINT_LIMIT + 1
    assert a.y[-1] == 900


def test_a_blind_comparison_is_drawn_by_letters():
    blind = race(("a", SLOW), ("b", FAST), asked=request(is_blind=True))
    assert labels(speeds_figure(blind))[0].endswith("</b> · A")
