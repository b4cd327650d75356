"""The plain speed of a target, measured when it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from config import SamplingParams, SpeculativeConfig
from utils.events import Tokens
from utils.model_session import ModelSession, Vocabulary
from utils.performance_monitor import PlainClock
from utils.speculative_decoding import SpeculativeDecoder

QUESTION = "Count from one to forty."
STEPS = 32
FEWEST_STEPS = 3
BUDGET_S = 1.5
LOGIT_BIASES = 64


async def calibrate(
    session: ModelSession,
    vocabulary: Vocabulary,
    prompt: Sequence[int],
    *,
    clock: PlainClock,
    should_stop: Callable[[], bool],
) -> None:
    """Time plain steps after `prompt` through the real loop, into `clock`; forget the text.

    32 steps, or what fits in 1.5 s, but 3 at least. Raises `TargetError` if the target fails.
    """
    deadline = perf_counter() + BUDGET_S
    steps: list[float] = []

    def is_enough() -> bool:
        return should_stop() or (len(steps) >= FEWEST_STEPS and perf_counter() > deadline)

    prompt = prompt[: session.n_ctx // 2]
    decoder = SpeculativeDecoder(session, vocabulary, clock=PlainClock())
    async for event in decoder.generate(
        prompt,
        sampling=_endless(vocabulary, min(STEPS, session.n_ctx - len(prompt))),
        speculative=SpeculativeConfig(enabled=False),
        drafter=None,
        reason="measuring plain decoding",
        should_stop=is_enough,
    ):
        if isinstance(event, Tokens):
            steps += [stats.total_s for stats in event.rounds]
    session.rollback(0)
    for seconds in steps:
        clock.add(seconds, origin="calibration")


def _endless(vocabulary: Vocabulary, max_tokens: int) -> SamplingParams:
    """Return greedy sampling that does not end by itself."""
    ends = [token_id for token_id in range(vocabulary.size) if vocabulary.is_end(token_id)]
    bias = dict.fromkeys(ends[:LOGIT_BIASES], -100.0)
    return SamplingParams(temperature=0, logit_bias=bias, max_tokens=max_tokens)
