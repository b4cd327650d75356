"""A drafter without a model: what followed the last time the same words stood here.

The longest suffix of the text that occurred before is found with a suffix automaton in amortised
constant time per token (SAM-Decoding, arXiv 2411.10666).
"""

from __future__ import annotations

from collections.abc import Sequence

from utils.drafters.protocol import Picker
from utils.token_validator import Draft

MAX_ANCESTORS = 32
# Stands between conversations; no token has this id.
BETWEEN = -1


class SuffixAutomaton:
    """All substrings of a growing token sequence, each with a recent place where it ended.

    After `append`, `match_length` is the length of the longest suffix that ended earlier too,
    and `match_end` the index of the token at which it did so most recently.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.match_length = 0
        self.match_end = -1
        self._next: list[dict[int, int]] = [{}]
        self._link = [-1]
        self._length = [0]
        self._end = [-1]
        self._last = 0

    def append(self, token_id: int) -> None:
        """Extend the text by one token."""
        position = len(self.tokens)
        self.tokens.append(token_id)
        current = self._add_state(self._length[self._last] + 1, {}, position)
        state = self._last
        while state != -1 and token_id not in self._next[state]:
            self._next[state][token_id] = current
            state = self._link[state]
        self._link[current] = 0 if state == -1 else self._prefix_state(state, token_id)
        self._last = current
        self._note_match(self._link[current], position)

    def match_with(self, more: Sequence[int]) -> tuple[int, int]:
        """Return where the longest end of the text and `more` ended before, and its length."""
        state, length = self._link[self._last], self.match_length
        for token_id in more:
            while state > 0 and token_id not in self._next[state]:
                state = self._link[state]
                length = self._length[state]
            following = self._next[max(state, 0)].get(token_id)
            state, length = (0, 0) if following is None else (following, length + 1)
        return self._end[max(state, 0)], length

    def _prefix_state(self, state: int, token_id: int) -> int:
        """Return the state of exactly the longest known text of `state` plus the token."""
        found = self._next[state][token_id]
        if self._length[found] == self._length[state] + 1:
            return found
        clone = self._add_state(self._length[state] + 1, dict(self._next[found]), self._end[found])
        self._link[clone] = self._link[found]
        self._link[found] = clone
        while state != -1 and self._next[state].get(token_id) == found:
            self._next[state][token_id] = clone
            state = self._link[state]
        return clone

    def _add_state(self, length: int, transitions: dict[int, int], end: int) -> int:
        self._next.append(transitions)
        self._link.append(0)
        self._length.append(length)
        self._end.append(end)
        return len(self._next) - 1

    def _note_match(self, state: int, position: int) -> None:
        self.match_length = self._length[state]
        self.match_end = self._end[state]
        # Shorter suffixes ended here as well; the bound keeps periodic texts linear.
        for _ in range(MAX_ANCESTORS):
            if state <= 0:
                break
            self._end[state] = position
            state = self._link[state]


class LookupDrafter:
    """Proposes the continuation of the most recent occurrence of the longest repeated suffix."""

    name = "lookup"

    def __init__(self, min_match: int = 2, *, remembered_tokens: int = 0) -> None:
        """Of conversations before this one, the newest `remembered_tokens` are looked up too."""
        self._min_match = min_match
        self._remembered_tokens = remembered_tokens
        self._earlier: list[int] = []
        self._text = SuffixAutomaton()
        self._is_to_forget = False

    def begin(self, token_ids: Sequence[int]) -> None:
        """Index the prompt, from where it differs from the text already indexed."""
        known = self._text.tokens[len(self._earlier) :]
        if known != list(token_ids[: len(known)]):
            self._start_anew([] if self._is_to_forget else known)
        self._is_to_forget = False
        self.observe(token_ids)

    def forget_earlier(self) -> None:
        """Look up in this conversation only, or in the next one where another begins now."""
        self._is_to_forget = True
        if self._earlier:
            known = self._text.tokens[len(self._earlier) :]
            self._earlier, self._text = [], SuffixAutomaton()
            self.observe(known)

    def _start_anew(self, known: Sequence[int]) -> None:
        if self._remembered_tokens and known:
            self._earlier += [*known, BETWEEN]
            del self._earlier[: -self._remembered_tokens]
        self._text = SuffixAutomaton()
        for token_id in self._earlier:
            self._text.append(token_id)

    def lag(self, token_ids: Sequence[int]) -> int:
        """Return 0: indexing costs about a microsecond per token."""
        return 0

    @property
    def indexed_tokens(self) -> int:
        """Tokens that are indexed, of this conversation and earlier ones."""
        return len(self._text.tokens)

    @property
    def match_length(self) -> int:
        """Tokens of the longest end of the text that stood there before."""
        return self._text.match_length

    def propose(self, token_ids: Sequence[int], limit: int, picker: Picker) -> Draft:
        """Copy up to `limit` tokens."""
        return Draft(tuple(self.copy(limit, picker)))

    def copy(self, limit: int, picker: Picker) -> list[int]:
        """Copy up to `limit` tokens; a copy that reaches the end of the text goes on in itself."""
        text = self._text
        if text.match_length < self._min_match:
            return []
        drafted: list[int] = []
        period = len(text.tokens) - 1 - text.match_end
        for offset in range(limit):
            token_id = (
                text.tokens[text.match_end + 1 + offset]
                if offset < period
                else drafted[offset - period]
            )
            if token_id == BETWEEN:
                break
            drafted.append(token_id)
            if picker.is_end(token_id):
                break
        return drafted

    def copy_after(
        self, drafted: Sequence[int], limit: int, picker: Picker
    ) -> tuple[list[int], int]:
        """Return up to `limit` tokens that followed on `drafted` before, and how long the match."""
        end, length = self._text.match_with(drafted)
        if length < self._min_match:
            return [], length
        copied = self._text.tokens[end + 1 : end + 1 + limit]
        for index, token_id in enumerate(copied):
            if token_id == BETWEEN:
                return copied[:index], length
            if picker.is_end(token_id):
                return copied[: index + 1], length
        return copied, length

    def observe(self, token_ids: Sequence[int]) -> None:
        """Index the tokens that are new."""
        for token_id in token_ids[len(self._text.tokens) - len(self._earlier) :]:
            self._text.append(token_id)
