from __future__ import annotations

from random import Random
from statistics import fmean

from utils.intervals import bootstrap_interval


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    # 400 draws of a normal with deviation 1: the mean's deviation is 0.05, 95% are +-0.098.
    rng = Random(1)
    values = [rng.gauss(0, 1) for _ in range(400)]
    low, high = bootstrap_interval(lambda draw: fmean(draw.choices(values, k=len(values))))
    assert low < fmean(values) < high
    assert 0.16 < high - low < 0.23


def test_a_lower_level_is_a_narrower_interval():
    values = [float(n) for n in range(50)]

    def mean(draw):
        return fmean(draw.choices(values, k=len(values)))

    narrow, wide = bootstrap_interval(mean, level=0.5), bootstrap_interval(mean, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_same_data_give_the_same_interval():
    values = [1.0, 2.0, 5.0]
    first, second = (
        bootstrap_interval(lambda draw: fmean(draw.choices(values, k=3))) for _ in range(2)
    )
    assert first == second
