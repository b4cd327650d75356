"""What passes cost: by width, by depth, and on a machine that is busy now and then."""

from __future__ import annotations

import random

import pytest

from utils.cost_table import CostTable, is_sound

UNEVEN = {1: 1.0, 2: 1.6, 3: 2.2, 4: 1.5, 6: 2.0, 8: 2.4}


def test_widths_between_measured_ones_lie_on_a_line_and_later_ones_go_on():
    costs = CostTable({0: UNEVEN}, max_width=10)
    assert costs.seconds(5) == pytest.approx((1.5 + 2.0) / 2)
    assert costs.seconds(10) == pytest.approx(2.4 + 2 * 2.4 / 8)


def test_a_pass_is_padded_where_a_wider_one_costs_less():
    costs = CostTable({0: UNEVEN}, max_width=8)
    assert [costs.padded_width(width, 8) for width in (1, 2, 3, 4, 5)] == [1, 4, 4, 4, 5]
    assert costs.padded_width(3, 3) == 3


def test_costs_follow_the_depth_in_steps():
    costs = CostTable({0: {1: 1.0, 2: 1.5}, 1000: {1: 2.0, 2: 3.0}}, max_width=2)
    costs.move_to(500)
    assert [costs.seconds(1), costs.seconds(2)] == pytest.approx([1.5, 2.25])
    costs.move_to(510)
    assert costs.seconds(2) == pytest.approx(2.25)
    costs.move_to(2000)
    assert costs.seconds(2) == pytest.approx(4.5)


def test_deeper_never_costs_less_whatever_was_measured():
    costs = CostTable({0: {1: 1.0}, 1000: {1: 0.5}}, max_width=1)
    costs.move_to(1000)
    assert costs.seconds(1) == 1.0


def test_a_machine_that_gets_slower_changes_the_pace_and_hardly_the_costs():
    costs = CostTable({0: UNEVEN}, max_width=8)
    for _ in range(100):
        for width in (1, 4, 8):
            costs.note(width, 2 * costs.seconds(width))
    assert costs.pace == pytest.approx(2, rel=0.15)
    for width in (1, 4, 8):
        costs.note(width, 3.0)
    ratios = [costs.seconds(width) / costs.seconds(1) for width in (4, 8)]
    assert ratios == pytest.approx([1.5, 2.4], rel=0.1)


def test_one_slow_pass_changes_next_to_nothing():
    costs = CostTable({0: UNEVEN}, max_width=8)
    for _ in range(10):
        costs.note(4, 1.5)
    costs.note(4, 1000.0)
    assert costs.seconds(4) == pytest.approx(1.5, rel=0.01)
    assert costs.pace < 1.1


def test_spikes_in_a_long_row_of_plain_passes_leave_their_cost_where_it_was():
    costs = CostTable({0: UNEVEN}, max_width=8)
    for step in range(4000):
        costs.note(1, 3.0 if step % 20 == 10 else 1.0, is_plain=True)
    assert costs.plain_s / costs.seconds(8) == pytest.approx(1 / 2.4, rel=0.03)


def test_costs_that_are_too_high_to_be_believed_are_tried_all_the_same():
    costs = CostTable({0: {1: 1.0, 4: 50.0}}, max_width=4)
    assert costs.seconds(4) == pytest.approx(2 + 3 * 0.6)
    for _ in range(5):
        costs.note(1, 1.0)
        costs.note(4, 3.6)
    assert costs.seconds(4) / costs.seconds(1) == pytest.approx(3.6, rel=0.2)


def test_a_width_that_was_measured_wrongly_is_put_right():
    costs = CostTable({0: {1: 1.0, 2: 9.0, 3: 2.0}}, max_width=3)
    for _ in range(4000):
        for width, seconds in ((1, 1.0), (2, 1.5), (3, 2.0)):
            costs.note(width, seconds)
    assert costs.seconds(2) / costs.seconds(1) == pytest.approx(1.5, rel=0.2)


def test_plain_passes_are_told_apart_from_passes_over_one_token_between_others():
    costs = CostTable({0: {1: 1.0, 4: 2.0}}, max_width=4)
    for _ in range(40):
        costs.note(4, 2.0)
        costs.note(1, 1.6)
        costs.note(1, 1.0, is_plain=True)
    assert costs.plain_s == pytest.approx(1.0, rel=0.1)
    assert costs.seconds(1) / costs.plain_s == pytest.approx(1.6, rel=0.1)


def test_what_several_tokens_cost_is_learnt_for_all_widths_from_those_that_are_seen():
    costs = CostTable({0: UNEVEN}, max_width=8)
    for _ in range(30):
        for _ in range(4):
            costs.note(1, 1.0, is_plain=True)
        costs.note(4, 1.5 * 1.8)
        assert costs.pace == pytest.approx(1.0, rel=0.001)
    assert costs.seconds(4) / costs.plain_s == pytest.approx(1.5 * 1.8, rel=0.1)
    assert costs.seconds(8) / costs.plain_s == pytest.approx(2.4 * 1.8, rel=0.2)


def test_long_passes_that_others_interrupt_more_often_are_not_taken_for_dearer():
    rng, costs = random.Random(1), CostTable({0: {1: 1.0, 6: 4.0}}, max_width=6)

    def interrupted(seconds: float) -> float:
        return seconds + (4.0 if rng.random() < 0.1 * seconds else 0.0)

    ratios = []
    for _ in range(400):
        for _ in range(4):
            costs.note(1, interrupted(1.0), is_plain=True)
        costs.note(6, interrupted(4.0))
        ratios.append(costs.seconds(6) / costs.plain_s)
    assert sum(ratios) / len(ratios) == pytest.approx(4.0, rel=0.08)


def test_a_machine_that_gets_slower_amid_plain_passes_does_not_make_wide_ones_dearer():
    costs = CostTable({0: UNEVEN}, max_width=8)
    for slowness in [1.0] * 20 + [4.0] * 4:
        costs.note(1, slowness, is_plain=True)
    costs.note(6, 4.0 * UNEVEN[6])
    assert costs.seconds(6) == pytest.approx(UNEVEN[6], rel=0.02)


def test_a_pass_wider_than_the_table_is_left_alone():
    costs = CostTable({0: UNEVEN}, max_width=8)
    costs.note(9, 5.0)
    costs.note(1, 0.0)
    assert costs.pace == 1.0


@pytest.mark.parametrize(
    ("measured", "sound"),
    [
        ({0: UNEVEN}, True),
        ({}, False),
        ({0: {2: 1.0}}, False),
        ({0: {1: 0.0}}, False),
        ({0: {1: float("nan")}}, False),
        ({-1: {1: 1.0}}, False),
        ({0: {1: 1.0, 0: 1.0}}, False),
    ],
)
def test_only_sound_measurements_are_used(measured, sound):
    assert is_sound(measured) == sound
