"""How a draft decodes its single tokens: timed when it is opened, with all threads and with one."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from time import perf_counter

from utils.llama.session import LlamaSession

STEPS = 8
# Between two passes a token is chosen, and threads without work fall asleep; to wake them costs
# more than they save where a pass is over in a moment.
PAUSE_S = 50e-6
SHORT_PASS_S = 500e-6
# On a busy machine threads that wait for each other make a short pass so long, and no longer.
LONG_PASS_S = 10 * SHORT_PASS_S


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """Seconds of a token, at best and in the middle.

    Whatever else the machine does makes a pass slower, never faster.
    """

    best_s: float
    usual_s: float


def settle_threads(session: LlamaSession, token_id: int, threads: int) -> TokenTimes:
    """Decode few tokens with one thread where all are no faster; return what a token takes.

    Leaves the cache empty.
    """
    choice, session.thread_choice = session.thread_choice, None
    try:
        one_is_best, seconds = _compare(session, token_id, threads)
    finally:
        session.clear()
        session.thread_choice = choice
    if one_is_best:
        session.spare_threads(1)
        if choice is not None:
            choice.take(1)
    return TokenTimes(min(seconds), median(seconds))


def _compare(session: LlamaSession, token_id: int, threads: int) -> tuple[bool, list[float]]:
    session.clear()
    all_s = [_time_pass(session, token_id) for _ in range(STEPS // 2)]
    if threads == 1 or min(all_s) > LONG_PASS_S:
        return False, all_s
    one_s: list[float] = []
    while len(one_s) < STEPS:
        session.clear()
        session.spare_threads(1)
        one_s.append(_time_pass(session, token_id))
        session.spare_threads(None)
        all_s.append(_time_pass(session, token_id))
        if min(*one_s, *all_s) > SHORT_PASS_S:
            return False, all_s
    one_is_best = median(one_s) <= median(all_s)
    return one_is_best, one_s if one_is_best else all_s


def wait_as_between_passes() -> float:
    """Return the time after a pause as long as that in which a token is chosen and told."""
    pause_end = perf_counter() + PAUSE_S
    while (now := perf_counter()) < pause_end:
        pass
    return now


def _time_pass(session: LlamaSession, token_id: int) -> float:
    begin = wait_as_between_passes()
    session.decode([token_id], rows=1)
    return perf_counter() - begin
