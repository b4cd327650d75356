"""A smaller model of another vocabulary that shares most tokens with the target's.

The draft's distribution is restricted to the tokens that both have and picked from like any other,
so every rule of verification stays exact (token-level intersection, arXiv 2502.05202). Each token
of the target has one spelling in the draft's, whatever stands around it: so what the draft wrote
itself is what it reads afterwards, nothing is tokenized anew, and its cache only grows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from utils.drafters.model_drafter import ModelDrafter
from utils.drafters.spelling import Spelling
from utils.errors import ModelError
from utils.model_session import FloatArray, ModelSession
from utils.vocabulary_map import UNMAPPED, LogitSpread, VocabularyMap


class TranslatedSession:
    """A draft's session as one of the target's vocabulary: its tokens in, its logits out."""

    def __init__(
        self, session: ModelSession, vocabulary_map: VocabularyMap, spelling: Spelling
    ) -> None:
        """Nobody else may decode in `session`; emptying it is noticed."""
        self._session = session
        self._map = vocabulary_map
        self._spelling = spelling
        self._cached: list[int] = []
        # How many tokens the draft holds after each of the target's.
        self._ends: list[int] = []
        self._spread = LogitSpread(vocabulary_map)

    @property
    def n_vocab(self) -> int:
        """Columns of the logits: the tokens of the target."""
        return self._spread.row.size

    @property
    def n_ctx(self) -> int:
        """Tokens of the target that fit if all that are to come have a spelling of one token."""
        count = len(self.cached)
        return self._session.n_ctx - self._length(count) + count

    @property
    def context_tokens(self) -> int:
        """Tokens of its own that the draft can hold."""
        return self._session.n_ctx

    @property
    def max_batch(self) -> int:
        """Tokens that one `decode` takes at most."""
        return self._session.max_batch

    @property
    def cached(self) -> Sequence[int]:
        """The tokens of the target that the draft has read."""
        held = len(self._session.cached)
        while self._ends and self._ends[-1] > held:
            self._ends.pop()
            self._cached.pop()
        return self._cached

    def knows(self, token_id: int) -> bool:
        """Tell whether the draft has this token of the target."""
        return bool(self._map.sources[token_id] != UNMAPPED)

    def spell(self, token_ids: Sequence[int]) -> list[int]:
        """Return the draft's tokens for tokens that follow on what is cached."""
        spelled: list[int] = []
        for token_id in token_ids:
            spelled += self._spelling.of_token(token_id)
        beginning = list(self._spelling.beginning)
        if not self.cached and spelled[: len(beginning)] != beginning:
            return beginning + spelled
        return spelled

    def decode(self, token_ids: Sequence[int], *, rows: int, width: int = 0) -> FloatArray:
        """Append tokens and return the logits after the last of them, if `rows` is 1.

        Raises as `ModelSession.decode`, and for more rows: a draft is asked for no others.
        """
        if not token_ids or rows > 1:
            raise ModelError(f"draft cannot decode {len(token_ids)} tokens to {rows} rows")
        session = self._session
        session.rollback(self._length(len(self.cached)))
        for token_id in token_ids:
            if not 0 <= token_id < self.n_vocab:
                raise ModelError(f"token id is out of range: {token_id} of {self.n_vocab}")
        ends: list[int] = []
        spelled: list[int] = []
        for token_id in token_ids:
            spelled += self.spell([token_id]) if not ends else self._spelling.of_token(token_id)
            ends.append(len(session.cached) + len(spelled))
        self._cached += token_ids
        self._ends += ends
        for start in range(0, len(spelled), session.max_batch):
            last = start + session.max_batch >= len(spelled)
            part = spelled[start : start + session.max_batch]
            logits = session.decode(part, rows=rows if last else 0)
        if rows:
            self._spread.fill(logits[0])
        return self._spread.row[np.newaxis][:rows]

    def rollback(self, length: int) -> None:
        """Keep the first `length` tokens of the target."""
        if not 0 <= length <= len(self.cached):
            raise ModelError(f"rollback is out of range: to {length} of {len(self._cached)} tokens")
        self._session.rollback(self._length(length))
        del self._cached[length:], self._ends[length:]

    def _length(self, count: int) -> int:
        return self._ends[count - 1] if count else 0


class TranslatedDrafter(ModelDrafter):
    """Drafts like a model of the target's vocabulary, within the tokens that both have."""

    # One token of the target may be several here.
    _looks_back = False

    def __init__(self, name: str, session: TranslatedSession) -> None:
        super().__init__(name, session, vocabulary_size=session.n_vocab)
        self._translated = session

    def _knows(self, token_id: int) -> bool:
        return self._translated.knows(token_id)

    @property
    def _context_tokens(self) -> int:
        return self._translated.context_tokens

    def _room(self, token_ids: Sequence[int]) -> int:
        session = self._translated
        pending = token_ids[len(session.cached) :]
        return session.n_ctx - len(session.cached) - len(session.spell(pending)) + 1
