from __future__ import annotations

import json

import pytest

from tests.chart_words import colors_of_words
from tests.experiments.simulated import experiment, outcome
from utils.charts.experiments import POINT_LIMIT, effects_figure, speeds_figure
from utils.charts.style import CLEAR
from utils.experiments.effects import METRICS, compare_arms


def effects(answers):
    return [compare_arms(answers, metric) for metric in METRICS]


def test_factors_are_drawn_with_their_intervals_around_one():
    answers = experiment(1, per_arm=5, effect=1.5)
    found = effects(answers)
    figure = effects_figure(found)
    assert list(figure.layout.yaxis.ticktext) == [
        "Time per answer",
        "First token after",
        "Tokens/s",
    ]
    speed = figure.data[-1]
    assert speed.x[0] == found[0].value
    assert speed.x[0] + speed.error_x.array[0] == pytest.approx(found[0].high)
    assert speed.x[0] - speed.error_x.arrayminus[0] == pytest.approx(found[0].low)
    assert figure.layout.shapes[0].x0 == 1
    assert sum(figure.layout.xaxis.range) == pytest.approx(0)


def test_every_answer_is_a_dot_in_the_row_of_its_arm():
    answers = [outcome("1", tokens_per_second=10.0), outcome("2", arm="speculative")]
    standard, speculative = speeds_figure(answers).data
    assert (list(standard.x), list(speculative.x)) == ([10], [50])
    assert abs(standard.y[0]) < 0.5 < speculative.y[0] < 1.5
    assert standard.marker.color != speculative.marker.color


def test_of_many_answers_the_newest_are_drawn():
    answers = [outcome(str(n), tokens_per_second=n + 1.0) for n in range(POINT_LIMIT + 50)]
    standard, _ = speeds_figure(answers).data
    assert len(standard.x) == POINT_LIMIT
    assert standard.x[-1] == POINT_LIMIT + 50


@pytest.mark.parametrize(
    ("figure", "note"),
    [
        (effects_figure(effects([])), "nothing to compare yet"),
        (effects_figure(effects([outcome()])), "nothing to compare yet"),
        (speeds_figure([]), "no answers yet"),
        (speeds_figure([outcome(tokens_per_second=0.0)]), "no answers yet"),
    ],
)
def test_an_empty_chart_says_why_it_is_empty(figure, note):
    assert [annotation.text for annotation in figure.layout.annotations] == [note]
    assert not figure.data


@pytest.mark.parametrize("speed", [1e-300, 1e300])
def test_no_effect_is_too_large_for_the_chart(speed):
    answers = [*experiment(1, per_arm=3), outcome("odd", browser="odd", tokens_per_second=speed)]
    figure = effects_figure(effects(answers))
    assert max(figure.layout.xaxis.range) <= 1.05
    json.loads(figure.to_json(), parse_constant=pytest.fail)


@pytest.mark.parametrize("figure", [effects_figure(effects([])), speeds_figure([outcome()])])
def test_charts_lie_transparent_on_the_page_and_leave_the_colour_of_words_to_it(figure):
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == CLEAR
    assert colors_of_words(figure) == set()
