"""What drafting with a model takes: some time to begin, and then so much a token.

To begin costs as much as a few tokens where a model is small: what was kept is to be read, and the
first passes find nothing of what the target's pass left in the processor's caches.
"""

from __future__ import annotations

COST_SHARE = 0.1
LARGEST_SURPRISE = 2.0
SLOWER_SHARE = 1 / 3
# A draft of so many tokens tells as much of the one as of the other.
MIDDLE_TOKENS = 6.0


class DraftCost:
    """A straight line through what drafts took, learnt from each by normalised least squares."""

    def __init__(self, token_s: float) -> None:
        """`token_s` is what a token costs as far as known; to begin is taken for another one."""
        self.begin_s = token_s
        self.token_s = token_s
        self._drafts = 0

    def seconds(self, count: float) -> float:
        """Return what drafting so many tokens takes."""
        return self.begin_s + count * self.token_s

    def note(self, count: int, seconds: float) -> None:
        """Learn from a draft. A slow one says little, so its surprise is clipped."""
        known = self.seconds(count)
        clipped = min(max(seconds, known / LARGEST_SURPRISE), LARGEST_SURPRISE * known)
        # The first drafts count for more: what is known before them may be far off.
        self._drafts += 1
        share = max(COST_SHARE, 1 / (1 + self._drafts))
        weight = count / MIDDLE_TOKENS
        step_s = share * (clipped - known) / (1 + weight * weight)
        if step_s > 0 and share == COST_SHARE:
            # Whatever else the machine does makes drafts slower, never faster.
            step_s *= SLOWER_SHARE
        least_s = known / (LARGEST_SURPRISE * (1 + count)) / 10
        self.begin_s = max(0.0, self.begin_s + step_s)
        self.token_s = max(least_s, self.token_s + step_s * weight / MIDDLE_TOKENS)
