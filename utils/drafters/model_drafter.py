"""A smaller model of the same vocabulary as drafter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from utils.drafters.protocol import Hindsight, Picker
from utils.errors import DraftFullError
from utils.model_session import FloatArray, ModelSession, common_prefix, prefill
from utils.sampling import Distribution
from utils.token_validator import Draft

MAX_DRAFTED = 16
# Where so many tokens or more are read at once, most of them are judged as if they were drafted.
LOOK_BACK_TOKENS, MOST_LOOKED_BACK = 4, 8
# As many as are judged at once, and enough for a pass that can be stopped.
CATCH_UP_TOKENS = 17


def always(_margin: float) -> bool:
    """Want another token, whatever the last one was worth."""
    return True


class ModelDrafter:
    """Drafts token by token; what it decoded once stays in its KV cache.

    Between rounds the cache holds a prefix of the committed tokens, usually all but one or two:
    the last drafted token is never decoded here.
    """

    _looks_back = True
    reads_guesses = True

    def __init__(self, name: str, session: ModelSession, *, vocabulary_size: int) -> None:
        """`vocabulary_size` is the target's: tokens beyond it are never drafted."""
        self.name = name
        self._session = session
        self._columns = min(vocabulary_size, session.n_vocab)
        self._prompt_tokens = 0
        self.hindsight: Hindsight = ()

    def begin(self, token_ids: Sequence[int]) -> None:
        """Drop from the cache what is not a prefix of the prompt.

        Raises `DraftFullError` where nothing fits behind it.
        """
        self._prompt_tokens = len(token_ids)
        self._session.rollback(common_prefix(self._session.cached, token_ids[:-1]))
        self._require_room(token_ids)

    def lag(self, token_ids: Sequence[int]) -> int:
        """Return how many committed tokens are not in the cache."""
        return len(token_ids) - len(self._session.cached)

    def propose(
        self,
        token_ids: Sequence[int],
        limit: int,
        picker: Picker,
        wants_more: Callable[[float], bool] = always,
    ) -> Draft:
        """Draft until `limit`, the end of the answer or that of the draft's own context.

        `wants_more` gets the margin of each token and says whether another one is worth drafting.
        Raises `DraftFullError` where the context has no room for any.
        """
        session = self._session
        limit = min(limit, self._require_room(token_ids))
        self.hindsight = ()
        if limit < 1:
            return Draft()
        pending = max(len(session.cached), len(token_ids) - session.max_batch)
        if pending > len(session.cached):
            for _ in prefill(session, token_ids[:pending]):
                pass
        drafted: list[int] = []
        distributions: list[Distribution] = []
        # Nobody learns from what is drafted at a fixed length.
        logits = self._read(token_ids, pending, None if wants_more is always else picker)
        while True:
            token_id, distribution, margin = picker.pick(logits, token_ids, drafted)
            if not self._knows(token_id):
                return Draft(tuple(drafted), tuple(distributions))
            drafted.append(token_id)
            distributions.append(distribution)
            enough = not wants_more(margin) or len(drafted) == limit
            if enough or picker.is_end(token_id):
                return Draft(tuple(drafted), tuple(distributions))
            logits = session.decode([token_id], rows=1)[0, : self._columns]

    def catch_up(self, token_ids: Sequence[int], picker: Picker) -> Iterator[Hindsight]:
        """Read what is not read but the last token, in pieces; judge those of the answer."""
        session, begun = self._session, self._prompt_tokens
        if begun > session.n_ctx:
            return
        for _ in prefill(session, token_ids[: max(begun - 1, len(session.cached))]):
            yield ()
        step, last = min(CATCH_UP_TOKENS, session.max_batch), len(token_ids) - 1
        while (start := len(session.cached)) < min(last, session.n_ctx):
            end = min(start + step, last, session.n_ctx)
            looked = end - max(start, begun - 1) if self._looks_back else 0
            rows = session.decode(token_ids[start:end], rows=looked)
            yield picker.look_back(rows[:, : self._columns], token_ids[: end + 1])

    def _read(self, token_ids: Sequence[int], pending: int, picker: Picker | None) -> FloatArray:
        """Decode the tokens from `pending` on, and look back; return the logits after them."""
        emitted = len(token_ids) - max(self._prompt_tokens, pending + 1)
        if picker is None or not self._looks_back or emitted < LOOK_BACK_TOKENS:
            only: FloatArray = self._session.decode(token_ids[pending:], rows=1)[0, : self._columns]
            return only
        looked = min(emitted, MOST_LOOKED_BACK)
        rows = self._session.decode(token_ids[pending:], rows=1 + looked)[:, : self._columns]
        self.hindsight = picker.look_back(rows[:-1], token_ids)
        logits: FloatArray = rows[-1]
        return logits

    def _knows(self, token_id: int) -> bool:
        """Tell whether the token is one of the draft's, and not the only one that was allowed."""
        return True

    @property
    def _context_tokens(self) -> int:
        """Tokens of its own that the draft can hold."""
        return self._session.n_ctx

    def _require_room(self, token_ids: Sequence[int]) -> int:
        if (room := self._room(token_ids)) < 1:
            raise DraftFullError.of(self._context_tokens)
        return room

    def _room(self, token_ids: Sequence[int]) -> int:
        """Return how many tokens may be drafted: the last one is never decoded here."""
        return self._session.n_ctx - len(token_ids) + 1

    def observe(self, token_ids: Sequence[int]) -> None:
        """Drop the drafted tokens that were not accepted."""
        cached = self._session.cached
        known = max(0, len(cached) - MAX_DRAFTED)
        # One token is left to decode, even where the rule resampled just what was drafted.
        self._session.rollback(common_prefix(cached, token_ids[:-1], known))
