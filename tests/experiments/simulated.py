"""Answers of experiments whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from utils.experiments.outcomes import Outcome

ARMS = ("standard", "speculative")


def outcome(answer_id="a1", *, arm="standard", browser="b1", tokens_per_second=50.0, **changes):
    plain = Outcome(
        answer_id,
        experiment=1,
        browser=browser,
        arm=arm,
        ended_at=1000.0,
        model="embedded",
        state="done",
        fell_back=False,
        tokens=40,
        tokens_per_second=tokens_per_second,
        ttft_s=0.1,
        answer_s=1.0,
    )
    return replace(plain, **changes)


def browsers(seed, *, per_arm, effect=1.0, between=0.3, within=0.2, most_answers=12):
    """Return the answers of each browser, standard and speculative in turn.

    Logarithms of speeds are normal: browsers differ by `between`, answers of one by `within`.
    Each has 1 to `most_answers` answers; those of the speculative arm are `effect` times as fast.
    """
    rng = np.random.default_rng(seed)
    for number in range(per_arm):
        for arm in ARMS:
            mean = rng.normal(4, between) + (np.log(effect) if arm == "speculative" else 0)
            count = rng.integers(1, most_answers + 1)
            speeds = np.exp(rng.normal(mean, within, count))
            yield [
                outcome(
                    f"{arm}{number}/{n}",
                    arm=arm,
                    browser=f"{arm}{number}",
                    tokens_per_second=float(speed),
                )
                for n, speed in enumerate(speeds)
            ]


def experiment(seed, **truth):
    return [answer for answers in browsers(seed, **truth) for answer in answers]


def pretend_independent(outcomes):
    """Give every answer a browser of its own, as if chance had assigned answers."""
    return [replace(answer, browser=answer.answer_id) for answer in outcomes]
