from __future__ import annotations

import json
import math

import pytest

from tests.chart_words import colors_of_words
from utils.charts.answers import (
    POINT_LIMIT,
    acceptance_figure,
    draft_length_figure,
    speedup_figure,
)
from utils.charts.style import CLEAR
from utils.performance_monitor import RoundStats


def rounds(count, *, drafted=4, accepted=2, total_s=0.01):
    return [
        RoundStats(
            "d" if drafted else None, drafted, accepted, accepted + 1, 0.001, 0.005, total_s, 0
        )
        for _ in range(count)
    ]


def test_acceptance_is_drawn_in_percent_by_round():
    (line,) = acceptance_figure(rounds(3)).data
    assert list(line.x) == [1, 2, 3]
    assert list(line.y) == [50, 50, 50]


def test_a_unit_stands_at_its_number_and_a_word_beside_it():
    figures = (
        acceptance_figure(rounds(3)),
        speedup_figure(rounds(3), 100),
        draft_length_figure(rounds(3)),
    )
    told = [line.hovertemplate for figure in figures for line in figure.data]
    units = [template.removesuffix("<extra></extra>").partition("%{y:.2f}")[2] for template in told]
    assert units == ["%", "\N{MULTIPLICATION SIGN}", " accepted", " drafted"]


def test_speedup_is_the_speed_over_the_measured_plain_speed():
    (line,) = speedup_figure(rounds(2), 150).data
    assert list(line.y) == [2, 2]


def test_the_speedup_chart_has_a_line_at_one_and_room_for_it():
    figure = speedup_figure(rounds(2, total_s=10), 100)
    (level,) = figure.layout.shapes
    assert (level.y0, level.y1) == (1, 1)
    assert figure.layout.yaxis.range[1] >= 2


@pytest.mark.parametrize("count", [0, 1, 299, 300, 301, 4096, 20_000])
def test_long_answers_are_thinned_and_keep_the_newest_round(count):
    for figure in (
        acceptance_figure(rounds(count)),
        speedup_figure(rounds(count), 100),
        draft_length_figure(rounds(count)),
    ):
        line = figure.data[-1]
        assert len(line.x) <= POINT_LIMIT
        assert (line.x[-1] if line.x else 0) == count


@pytest.mark.parametrize(
    ("figure", "note"),
    [
        (acceptance_figure([]), "no rounds yet"),
        (acceptance_figure(rounds(3, drafted=0, accepted=0)), "nothing was drafted"),
        (draft_length_figure([]), "no rounds yet"),
        (draft_length_figure(rounds(3, drafted=0, accepted=0)), "nothing was drafted"),
        (speedup_figure([], 100), "no rounds yet"),
        (speedup_figure(rounds(3), 0), "no plain speed<br>to compare with"),
    ],
)
def test_an_empty_chart_says_why_it_is_empty(figure, note):
    assert [annotation.text for annotation in figure.layout.annotations] == [note]
    assert not figure.layout.shapes


def test_the_draft_length_is_drawn_above_what_was_accepted_of_it():
    accepted, drafted = draft_length_figure(rounds(3, drafted=4, accepted=3)).data
    assert list(accepted.y) == [3, 3, 3]
    assert list(drafted.y) == [4, 4, 4]
    assert (accepted.fill, drafted.fill) == ("tozeroy", None)


def test_the_draft_length_falls_to_nothing_where_drafting_stops():
    _, drafted = draft_length_figure([*rounds(2), *rounds(4, drafted=0, accepted=0)]).data
    assert list(drafted.y) == [4, 4, 2.667, 2, 1, 0]


def test_there_is_no_line_where_nothing_was_drafted_for_a_while():
    plain = rounds(40, drafted=0, accepted=0)
    (line,) = acceptance_figure([*rounds(3), *plain, *rounds(1)]).data
    assert line.y[2] == 50
    assert line.y[17] == 50
    assert set(line.y[18:43]) == {None}
    assert line.y[-1] == 50


@pytest.mark.parametrize("total_s", [0.0, math.inf, math.nan, 1e-300])
@pytest.mark.parametrize("plain", [0.0, 1e-300, math.inf, 100.0])
def test_no_figure_ever_holds_a_value_that_is_not_finite(total_s, plain):
    for figure in (
        speedup_figure(rounds(20, total_s=total_s), plain),
        acceptance_figure(rounds(20, total_s=total_s)),
    ):
        (line,) = figure.data
        assert all(value is None or math.isfinite(value) for value in line.y)
        assert math.isfinite(figure.layout.yaxis.range[1])
        json.loads(figure.to_json(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "figure", [acceptance_figure(rounds(3)), acceptance_figure([]), speedup_figure(rounds(2), 9)]
)
def test_charts_lie_transparent_on_the_page_and_leave_the_colour_of_words_to_it(figure):
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == CLEAR
    assert colors_of_words(figure) == set()
