"""How many tokens to draft in the next round; none is one of the choices."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from config import SpeculativeConfig
from utils.performance_monitor import RoundStats, ratio

# Plain steps tell their time in a row, and early enough for answers of ordinary length.
PROBE_EVERY, FIRST_PROBE, PROBE_ROUNDS = 256, 32, 4
FIRST_PAUSE_TOKENS = 64
LONGEST_PAUSE_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Decision:
    """Draft up to `length` tokens. `pause_reason` is empty unless drafting is switched off."""

    length: int
    pause_reason: str = ""


class FixedDraftLength:
    """Always the same length, paused while too little of it is accepted.

    When the acceptance rate over the newest `acceptance_window` drafted tokens falls under the
    threshold, drafting pauses for 64 tokens, then twice as long after every failed try. In
    four of 256 rounds nothing is drafted, which keeps the measured plain speed fresh.
    """

    def __init__(self, config: SpeculativeConfig) -> None:
        self._config = config
        self._window: deque[tuple[int, int]] = deque()
        self._drafted = self._accepted = 0
        self._rounds = 0
        self._pause_left = 0
        self._next_pause = FIRST_PAUSE_TOKENS
        self._reason = ""

    def decide(self) -> Decision:
        """Return the fixed length, or 0 during a pause or a probe of the plain speed."""
        if self._pause_left > 0:
            return Decision(0, self._reason)
        if 0 <= self._rounds % PROBE_EVERY - FIRST_PROBE < PROBE_ROUNDS:
            return Decision(0)
        return Decision(self._config.max_draft_tokens)

    def observe(self, stats: RoundStats) -> None:
        """Judge the acceptance rate over the window."""
        self._rounds += 1
        if self._pause_left > 0:
            self._pause_left -= stats.emitted
        elif stats.drafted:
            self._slide(stats.drafted, stats.accepted)
            self._judge()

    def _slide(self, drafted: int, accepted: int) -> None:
        self._window.append((drafted, accepted))
        self._drafted += drafted
        self._accepted += accepted
        while self._drafted - self._window[0][0] >= self._config.acceptance_window:
            drafted, accepted = self._window.popleft()
            self._drafted -= drafted
            self._accepted -= accepted

    def _judge(self) -> None:
        if self._drafted < self._config.acceptance_window:
            return
        rate = ratio(self._accepted, self._drafted)
        if rate >= self._config.acceptance_threshold:
            self._next_pause = FIRST_PAUSE_TOKENS
            return
        self._reason = (
            f"acceptance {rate:.0%} over {self._drafted} drafted tokens is under "
            f"{self._config.acceptance_threshold:.0%}; next try after {self._next_pause} tokens"
        )
        self._pause_left = self._next_pause
        self._next_pause = min(2 * self._next_pause, LONGEST_PAUSE_TOKENS)
        self._window.clear()
        self._drafted = self._accepted = 0
