from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chat.racing import answer, race, request
from utils.charts.races import POINT_LIMIT, progress_figure, speeds_figure
from utils.charts.style import DARK, LIGHT, TIMES

SLOW, FAST = answer(token_s=0.02), answer(token_s=0.01)
SEEN = race(("a", SLOW), ("b", FAST), ("b", FAST))


def labels(figure):
    return [note.text for note in figure.layout.annotations]


def test_each_side_has_a_bar_of_its_median_and_a_dot_for_every_run():
    figure = speeds_figure(SEEN, LIGHT, paper="#fff")
    assert [trace.type for trace in figure.data] == ["bar", "scatter", "bar", "scatter"]
    assert [trace.x[0] for trace in figure.data if trace.type == "bar"] == [50, 100]
    assert [len(trace.x) for trace in figure.data if trace.type == "scatter"] == [1, 2]
    assert labels(figure) == [
        "A: Standard: <b>50.0 tokens/s</b>",
        "B: Speculative: <b>100 tokens/s</b>",
    ]


def test_a_side_that_has_not_run_says_so_instead_of_zero():
    assert "no run yet" in labels(speeds_figure(race(("a", SLOW)), LIGHT, paper="#fff"))[1]


@pytest.mark.parametrize("draw", [speeds_figure, progress_figure])
def test_a_picture_has_a_ground_of_its_own(draw):
    figure = draw(SEEN, DARK, paper="#121716")
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "#121716"


def test_the_picture_says_what_was_found_and_under_which_conditions():
    title = speeds_figure(SEEN, LIGHT, paper="#fff").layout.title.text
    assert f"B 2.00{TIMES} as fast as A" in title
    assert "temperature 0, seed 7" in title


def test_names_of_models_are_not_read_as_markup():
    seen = replace(SEEN, request=request(model_name="<a href='x'>m</a>"))
    title = speeds_figure(seen, LIGHT, paper="#fff").layout.title.text
    assert "<a" not in title
    assert "&lt;a" in title


def test_both_sides_are_drawn_from_nothing_to_their_last_token():
    a, b = progress_figure(SEEN, LIGHT, paper="#fff").data
    assert (a.x[0], a.y[0], a.x[-1], a.y[-1]) == (0, 0, pytest.approx(0.06), 3)
    assert b.x[-1] == pytest.approx(0.03)
    assert a.line.dash != b.line.dash


def test_long_answers_are_thinned_and_keep_their_end():
    words = [" word"] * 900
    seen = race(("a", answer(words)), ("b", answer(words)))
    a, _ = progress_figure(seen, LIGHT, paper="#fff").data
    assert len(a.x) <= POINT_LIMIT + 1
    assert a.y[-1] == 900


def test_a_blind_comparison_is_drawn_by_letters():
    blind = race(("a", SLOW), ("b", FAST), asked=request(is_blind=True))
    assert labels(speeds_figure(blind, LIGHT, paper="#fff"))[0].startswith("A: <b>")
