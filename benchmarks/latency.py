"""How long a user waits: for the first token, between tokens, and in the second turn."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.rig import Rig, Way
from config import SamplingParams
from utils.prompt_suite import Suite

PROMPT_TOKENS = 200
RUNS = 9


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians over runs from empty caches; `slowest_round_ms` is the longest wait for more text."""

    drafter: str
    prompt_tokens: int
    ttft_ms: float
    tpot_ms: float
    slowest_round_ms: float
    second_prompt_tokens: int
    second_prefilled_tokens: int


def measure_latency(rig: Rig, suite: Suite, way: Way) -> Latency:
    """Ask with a prompt of about 200 tokens, nine times, then a second question."""
    sampling = SamplingParams(temperature=0, max_tokens=64)
    question = _long_question(rig, suite)
    prompt = rig.encode(question)
    answers = []
    for _ in range(RUNS):
        rig.forget()
        answers.append(rig.answer(prompt, sampling, way))
    second = rig.encode(question, answers[-1].text, "Say that again.")
    again = rig.answer(second, sampling, way)
    return Latency(
        drafter=way.name,
        prompt_tokens=len(prompt),
        ttft_ms=1000 * median(answer.stats.ttft_s for answer in answers),
        tpot_ms=1000 * median(answer.stats.tpot_s for answer in answers),
        slowest_round_ms=1000 * median(answer.slowest_round_s for answer in answers),
        second_prompt_tokens=len(second),
        second_prefilled_tokens=again.stats.prompt_tokens - again.stats.reused_tokens,
    )


def _long_question(rig: Rig, suite: Suite) -> str:
    """Return words of the suite that make a prompt of about 200 tokens."""
    words = " ".join(turn for prompts in suite.values() for turns in prompts for turn in turns)
    several = words.split() * (1 + PROMPT_TOKENS // len(words.split()))
    count = 1
    while len(rig.encode(" ".join(several[: count + 1]))) <= PROMPT_TOKENS:
        count += 1
    return " ".join(several[:count])
