"""What a draft is worth while it grows, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf


class Prospect:
    """The tokens expected of a draft, less those that its time would yield elsewhere.

    Drafting goes on while some longer draft is expected to be worth more than the best that can be
    made of what is there, which may be none of it (optimal stopping).
    """

    def __init__(
        self,
        pass_s: Sequence[float],
        *,
        worth_of_second: float,
        token_s: float,
        draft_token_s: float,
        may_shrink: bool,
    ) -> None:
        """`pass_s` are the seconds of a pass with 0, 1, 2... drafted tokens, as many as may be.

        A second is worth so many tokens; `token_s` is what each one kept takes beside its pass.
        Where a draft may not shrink, what was drafted will be verified.
        """
        self._worth = [worth_of_second * seconds for seconds in pass_s]
        self._step = worth_of_second * draft_token_s
        self._net = 1 - worth_of_second * token_s
        self._may_shrink = may_shrink
        self._survival, self._gain = 1.0, 0.0
        self._values = [-self._worth[0]]
        self._best = self._values[0]

    def add(self, rate: float) -> None:
        """Take in a token that is right with this probability if those before it are."""
        self._survival *= rate
        self._gain += self._net * self._survival
        count = len(self._values)
        value = self._gain - self._worth[count] if count < len(self._worth) else -inf
        self._values.append(value)
        if value > self._best or not self._may_shrink:
            self._best = value

    def grows(self, rate: float) -> bool:
        """Tell whether to draft on, where each token to come is right with this probability."""
        worth, survival, gain, cost = self._worth, self._survival, self._gain, 0.0
        for count in range(len(self._values), len(worth)):
            survival *= rate
            gain += self._net * survival
            cost += self._step
            if gain - worth[count] - cost > self._best:
                return True
        return False

    def best_length(self, least: int, most: int) -> int:
        """Return how many of the first `most` tokens are best verified, at least so many."""
        values = self._values[: most + 1]
        return max(least, values.index(max(values)))
