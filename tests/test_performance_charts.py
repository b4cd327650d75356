from __future__ import annotations

import json
import math

import pytest

from tests.chart_words import colors_of_words
from utils.charts.performance import (
    POINT_LIMIT,
    CostCurve,
    Share,
    costs_figure,
    lengths_figure,
    places_figure,
    shares_figure,
    speeds_figure,
    timeline_figure,
)
from utils.charts.style import CLEAR
from utils.chat.snapshots import Switch
from utils.events import Mode
from utils.performance_monitor import RoundStats
from utils.round_figures import Place

CURVE = CostCurve(17, ((1, 0.01), (2, 0.02), (4, 0.03)))
STOPPED = Switch(6, Mode("standard", "d", "it does not pay"))


def rounds(count, *, drafted=4, accepted=2):
    return [RoundStats("d", drafted, accepted, accepted + 1, 0.0, 0.01, 0.01, 0)] * count


def notes(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def test_acceptance_is_drawn_in_percent_by_place():
    (bars,) = places_figure([Place(1, 10, 9), Place(2, 10, 5)]).data
    assert (list(bars.x), list(bars.y)) == ([1, 2], [90, 50])
    assert bars.hovertext[1] == "token 2: 5 of 10 kept"


def test_lengths_are_drawn_from_nothing_kept_on():
    (bars,) = lengths_figure([3, 0, 7]).data
    assert (list(bars.x), list(bars.y)) == ([0, 1, 2], [3, 0, 7])


def test_the_draft_length_is_drawn_by_token_with_a_mark_where_the_mode_changed():
    figure = timeline_figure(rounds(3), [(STOPPED, "At token 6 drafting stopped")])
    accepted, drafted, marks = figure.data
    assert (list(accepted.x), list(accepted.y)) == ([0, 3, 6, 9], [2, 2, 2, 2])
    assert list(drafted.y) == [4, 4, 4, 4]
    assert (list(marks.x), list(marks.hovertext)) == ([6], ["At token 6 drafting stopped"])
    assert [shape.x0 for shape in figure.layout.shapes] == [6]


def test_a_reason_is_never_read_as_tags():
    (*_, marks) = timeline_figure(rounds(3), [(STOPPED, "<a href='x'>y</a>")]).data
    assert "<" not in marks.hovertext[0]


@pytest.mark.parametrize("count", [1, 399, 400, 401, 4096])
def test_long_answers_are_thinned_and_end_where_they_end(count):
    accepted, drafted, _ = timeline_figure(rounds(count), []).data
    assert len(accepted.x) <= POINT_LIMIT + 1
    assert accepted.x[-1] == 3 * count
    assert set(drafted.y) == {4}


def test_costs_are_drawn_in_milliseconds_with_what_was_measured_and_chosen():
    figure = costs_figure([CURVE], [(1, 0.011)], chosen_length=3)
    curve, measured = figure.data
    assert (list(curve.x), list(curve.y)) == ([1, 2, 4], [10, 20, 30])
    assert list(measured.y) == [11]
    assert [shape.x0 for shape in figure.layout.shapes] == [4]


def test_deeper_costs_are_told_apart():
    first, deeper = costs_figure([CURVE, CostCurve(512, CURVE.seconds)], []).data
    assert (first.line.dash, deeper.line.dash) == ("solid", "dot")


def test_speeds_have_a_gap_where_the_plain_speed_is_not_known():
    plain, speeds = speeds_figure([(4, 10, 0), (5, 20, 15)]).data
    assert list(plain.y) == [None, 15]
    assert (list(speeds.x), list(speeds.y)) == ([4, 5], [10, 20])


def test_shares_lie_behind_each_other_and_empty_ones_are_left_out():
    figure = shares_figure([Share("Draft", 1, "1 s"), Share("Other", 0, "0 s")])
    assert [bar.name for bar in figure.data] == ["Draft"]
    assert figure.layout.barmode == "stack"


@pytest.mark.parametrize(
    ("figure", "note"),
    [
        (places_figure([]), "nothing was drafted"),
        (lengths_figure([]), "nothing was drafted"),
        (timeline_figure([], []), "no rounds yet"),
        (timeline_figure(rounds(3, drafted=0, accepted=0), []), "nothing was drafted"),
        (costs_figure([], [], chosen_length=3), "not measured yet"),
        (speeds_figure([]), "no answers yet"),
        (shares_figure([]), "not known yet"),
    ],
)
def test_an_empty_chart_says_why_it_is_empty(figure, note):
    assert notes(figure) == [note]
    assert not figure.data
    assert not figure.layout.shapes


@pytest.mark.parametrize("odd", [0.0, math.inf, math.nan, 1e-300])
def test_no_figure_ever_holds_a_value_that_is_not_finite(odd):
    for figure in (
        speeds_figure([(1, odd, odd), (2, 1, 1)]),
        costs_figure([CostCurve(0, ((1, odd), (2, 1.0)))], [(1, odd)]),
        shares_figure([Share("Draft", odd, ""), Share("Other", 1, "")]),
    ):
        json.loads(figure.to_json(), parse_constant=pytest.fail)


@pytest.mark.parametrize("figure", [costs_figure([CURVE], []), shares_figure([])])
def test_charts_lie_transparent_on_the_page_and_leave_the_colour_of_words_to_it(figure):
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == CLEAR
    assert colors_of_words(figure) == set()
