"""What must hold before a change is taken, judged in two minutes on the pair grown to 0.1 B.

On a busy machine nothing can be judged: then the gate says so and lets pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.comparison import CategoryResult, Comparison, Setting, Tell, compare
from benchmarks.loop import LoopCost, measure_loop
from benchmarks.rig import ADAPTIVE, Rig
from utils.prompt_suite import Suite

LEAST_TOKENS_PER_FORWARD = 1.0
LEAST_SPEEDUP = 0.97
LEAST_PLAIN = 0.95
TOKENS = 96
PROMPTS = 1
# Single pairs of runs differ by a tenth where neighbours share the machine.
LOOP_RUNS = 25


def run_gate(rig: Rig, suite: Suite, tell: Tell) -> list[str]:
    """Return what does not hold, greedy and at temperature 0.8."""
    loop_is_slow = bool(loop_problems(measure_loop(rig, runs=LOOP_RUNS)))
    problems = []
    for temperature in (0.0, 0.8):
        setting = Setting(ways=(ADAPTIVE,), temperature=temperature, max_tokens=TOKENS)
        found = _problems_of(compare(rig, suite, setting, tell))
        if found:
            # One prompt a category: what is slow by more than chance is so again.
            found = _problems_of(compare(rig, suite, setting, tell))
        problems += [f"temperature {temperature:g}, {line}" for line in found]
    if loop_is_slow:
        # A hiccup of the machine is over by now.
        problems += loop_problems(measure_loop(rig, runs=LOOP_RUNS))
    return problems


def loop_problems(loop: LoopCost) -> list[str]:
    """Say so where plain decoding is over 5% slower than a bare loop."""
    if loop.plain_vs_llama_cpp >= LEAST_PLAIN:
        return []
    return [
        f"plain decoding reaches {loop.plain_vs_llama_cpp:.3f} of a bare llama_decode loop, "
        f"less than {LEAST_PLAIN}"
    ]


def yield_problems(total: CategoryResult) -> list[str]:
    """Say so where passes of the target yield no more than plain ones, over all prompts."""
    if total.tokens_per_forward > LEAST_TOKENS_PER_FORWARD:
        return []
    return [
        f"a pass of the target yields {total.tokens_per_forward:.2f} tokens: drafting does nothing"
    ]


def speed_problems(categories: Sequence[CategoryResult]) -> list[str]:
    """Say which categories are slower than plain beyond their interval."""
    return [
        f"{category.name}: {category.speedup:.2f} of plain speed, at most "
        f"{category.high:.2f}, less than {LEAST_SPEEDUP}"
        for category in categories
        if category.high < LEAST_SPEEDUP
    ]


def _problems_of(comparison: Comparison) -> list[str]:
    total = comparison.total(ADAPTIVE)
    if total is None:
        return ["nothing was compared: the suite has no prompts"]
    return [*yield_problems(total), *speed_problems(comparison.categories(ADAPTIVE))]
