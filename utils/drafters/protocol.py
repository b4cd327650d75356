"""What a drafter is: something that guesses the next tokens, at less cost than the target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from utils.model_session import FloatArray
from utils.sampling import Distribution
from utils.token_validator import Draft

# For each of some tokens that were emitted: the margin of what would have been picked, and whether
# it is that token.
Hindsight = Sequence[tuple[float, bool]]


class Picker(Protocol):
    """How tokens are chosen in this answer: same sampling and noise as the target's."""

    def pick(
        self, logits: FloatArray, before: Sequence[int], drafted: Sequence[int]
    ) -> tuple[int, Distribution, float]:
        """Return the next token after `before` and `drafted`, what it was drawn from, and by what
        margin in logits it was picked before the runner-up.
        """
        ...

    @property
    def may_withdraw(self) -> bool:
        """Tell whether a token that was drawn may be left out of a draft because of what it is.

        It may where the target picks by itself. A rule that keeps tokens by their probability in
        what they were drawn from must judge all that were drawn, or the text is not the target's.
        """
        ...

    def may_follow(self, guessed: Sequence[int]) -> bool:
        """Tell whether the answer can go on with these tokens, and after them."""
        ...

    def look_back(self, rows: FloatArray, token_ids: Sequence[int]) -> Hindsight:
        """Judge what would have been picked for the last tokens of an answer, one by each row."""
        ...

    def is_end(self, token_id: int) -> bool:
        """Tell whether the token ends an answer."""
        ...


class PickerAhead:
    """Picks what follows on tokens that are guessed, in an answer that has not got to them."""

    def __init__(self, picker: Picker, committed: Sequence[int], guessed: Sequence[int]) -> None:
        self._picker = picker
        self._committed = committed
        self._guessed = guessed
        self.may_withdraw = picker.may_withdraw
        self.is_end = picker.is_end

    def pick(
        self, logits: FloatArray, before: Sequence[int], drafted: Sequence[int]
    ) -> tuple[int, Distribution, float]:
        """Pick as the answer would after the committed tokens, those guessed and those drafted."""
        return self._picker.pick(logits, self._committed, [*self._guessed, *drafted])

    def may_follow(self, guessed: Sequence[int]) -> bool:
        """Tell whether the answer can go on with more guesses."""
        return self._picker.may_follow([*self._guessed, *guessed])

    def look_back(self, rows: FloatArray, token_ids: Sequence[int]) -> Hindsight:
        """Judge what would have been picked for committed tokens: rows of guesses say nothing."""
        count = len(rows) - len(self._guessed)
        return self._picker.look_back(rows[:count], self._committed) if count > 0 else ()


class Drafter(Protocol):
    """Guesses tokens; `token_ids` are always the committed ones, prompt included.

    Any exception means that this drafter is given up and the answer goes on without it, and
    `DraftFullError` that it did not fail: its context is full, from now on.
    """

    @property
    def name(self) -> str:
        """What users see."""
        ...

    def begin(self, token_ids: Sequence[int]) -> None:
        """Prepare for an answer to this prompt, keeping what is known of it."""
        ...

    def lag(self, token_ids: Sequence[int]) -> int:
        """Return how many tokens must be read before the next proposal."""
        ...

    def propose(self, token_ids: Sequence[int], limit: int, picker: Picker) -> Draft:
        """Return up to `limit` tokens that may follow; none is an answer too."""
        ...

    def observe(self, token_ids: Sequence[int]) -> None:
        """Learn what was committed after a round, whether or not it was drafted here."""
        ...


class SteeredDrafter(Drafter, Protocol):
    """A drafter that is told, token by token, whether another one is worth drafting."""

    @property
    def reads_guesses(self) -> bool:
        """Tell whether tokens may follow the committed ones that were guessed by others."""
        ...

    def propose(
        self,
        token_ids: Sequence[int],
        limit: int,
        picker: Picker,
        wants_more: Callable[[float], bool] = ...,
    ) -> Draft:
        """Return up to `limit` tokens; `wants_more` gets the margin of each, in order."""
        ...

    def catch_up(self, token_ids: Sequence[int], picker: Picker) -> Iterator[Hindsight]:
        """Read what is yet to be read, piece by piece, and tell what would have been drafted."""
        ...

    @property
    def hindsight(self) -> Hindsight:
        """What the last proposal would have been in places that it had yet to read."""
        ...
