"""What an answer may be made of: the tokens that are allowed after those already written.

States are numbers that never change: to look ahead, as a draft does, nothing is copied and nothing
is taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from utils.errors import ModelError, RequestError


class Constraint(Protocol):
    """Which tokens may follow each other, from the state `start` on."""

    start: int

    def after(self, state: int, token_id: int) -> int | None:
        """Return the state after a token, or None where it is not allowed."""
        ...

    def allowed(self, state: int) -> NDArray[np.int32]:
        """Return the ids of all tokens that may follow, ascending."""
        ...


class HeldAnswer:
    """One answer held to a constraint: its state is that after the tokens emitted, no others."""

    def __init__(self, constraint: Constraint, prompt: Sequence[int], begun: int = 0) -> None:
        """The last `begun` tokens of the prompt belong to the answer.

        Raises `RequestError` where they break the constraint.
        """
        self._constraint = constraint
        self._read = len(prompt) - begun
        self._state: int | None = constraint.start
        if self._after_emitted(prompt) is None:
            raise RequestError(
                "the answer cannot be gone on with: what is written of it breaks its grammar"
            )

    def allowed(
        self, size: int, before: Sequence[int], drafted: Sequence[int] = ()
    ) -> NDArray[np.int32]:
        """Return the ids below `size` that may follow what is emitted and drafted.

        Raises `ModelError` where there are none.
        """
        state = self._after_drafted(before, drafted)
        if state is not None:
            token_ids = self._constraint.allowed(state)
            if count := int(np.searchsorted(token_ids, size)):
                return token_ids[:count]
        raise ModelError(
            "the grammar cannot be gone on with: no token of this model fits it here; "
            "change the grammar or take another model"
        )

    def fits(self, before: Sequence[int], drafted: Sequence[int], token_id: int) -> bool:
        """Tell whether a token may follow what is emitted and drafted."""
        return self._after(self._after_drafted(before, drafted), token_id) is not None

    def fitting(self, before: Sequence[int], drafted: Sequence[int]) -> int:
        """Return how many of the drafted tokens are allowed, one after the other."""
        state = self._after_emitted(before)
        for index, token_id in enumerate(drafted):
            state = self._after(state, token_id)
            if state is None:
                return index
        return len(drafted)

    def _after_drafted(self, before: Sequence[int], drafted: Sequence[int]) -> int | None:
        state = self._after_emitted(before)
        for token_id in drafted:
            state = self._after(state, token_id)
        return state

    def _after_emitted(self, token_ids: Sequence[int]) -> int | None:
        for token_id in token_ids[self._read :]:
            self._state = self._after(self._state, token_id)
        self._read = len(token_ids)
        return self._state

    def _after(self, state: int | None, token_id: int) -> int | None:
        return None if state is None else self._constraint.after(state, token_id)
