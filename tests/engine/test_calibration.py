from __future__ import annotations

import pytest

from utils.engine.calibration import keep, recall


def test_times_are_kept_for_the_next_time(tmp_path):
    passes = {17: {1: 0.01, 8: 0.03}, 1024: {1: 0.02, 8: 0.0195}}
    keep(tmp_path / "costs", passes)
    assert recall(tmp_path / "costs") == passes


@pytest.mark.parametrize(
    "passes",
    [
        {},
        {17: {8: 0.03}},
        {17: {1: 0.0, 8: 0.03}},
        # Measured while the machine was busy: eight tokens for less than one.
        {17: {1: 0.01, 8: 0.006}},
        {17: {1: 0.01, 8: 0.03}, 1024: {1: 0.05, 8: 0.04}},
    ],
)
def test_times_that_cannot_be_are_measured_again(tmp_path, passes):
    keep(tmp_path / "costs", passes)
    assert recall(tmp_path / "costs") is None
