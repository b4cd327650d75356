"""The plain speed of a target, measured when it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
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
# The default draft length first: a slow target has no time for all of them.
WIDTHS = (1, 6, 3, 2, 4, 9, 17)
PASS_RUNS = 3
PASS_BUDGET_S = 1.0


async def calibrate(
    session: ModelSession,
    vocabulary: Vocabulary,
    prompt: Sequence[int],
    *,
    clock: PlainClock,
    should_stop: Callable[[], bool],
) -> None:
    """Time plain steps after `prompt` through the real loop, into `clock`; forget the text.

    32 steps, or what fits in 1.5 s, but 3 at least; then passes over several tokens, for 1 s.
    Raises `TargetError` if the target fails.
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
    if steps and (times := _time_passes(session, should_stop)):
        clock.learn(times, median(steps))
    session.rollback(0)
    for seconds in steps:
        clock.add(seconds, origin="calibration")


def _time_passes(session: ModelSession, should_stop: Callable[[], bool]) -> dict[int, float]:
    """Return the time of passes over some widths, after the text that is in the cache."""
    deadline = perf_counter() + PASS_BUDGET_S
    depth, token_id = len(session.cached), session.cached[-1]
    times: dict[int, float] = {}
    for width in WIDTHS:
        too_late = len(times) > 1 and perf_counter() > deadline
        if too_late or should_stop():
            break
        if width > min(session.max_batch, session.n_ctx - depth):
            continue
        runs = []
        for _ in range(PASS_RUNS):
            begin = perf_counter()
            session.decode([token_id] * width, rows=width)
            runs.append(perf_counter() - begin)
            session.rollback(depth)
        times[width] = median(runs)
    return times


def _endless(vocabulary: Vocabulary, max_tokens: int) -> SamplingParams:
    """Return greedy sampling that does not end by itself."""
    ends = [token_id for token_id in range(vocabulary.size) if vocabulary.is_end(token_id)]
    bias = dict.fromkeys(ends[:LOGIT_BIASES], -100.0)
    return SamplingParams(temperature=0, logit_bias=bias, max_tokens=max_tokens)
