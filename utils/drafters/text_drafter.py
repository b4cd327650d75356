"""A smaller model of quite another vocabulary: what it writes is text, tokenized for the target.

The draft writes greedily in its own tokens, and what it wrote is proposed without distributions,
like a lookup's: every rule of verification stays exact (string-level exact match, arXiv
2502.05202). Only tokens that more text could not change are proposed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from utils.drafters.model_drafter import always
from utils.drafters.protocol import Hindsight, Picker
from utils.drafters.spelling import DraftVocabulary, Encode, Spelling, characters
from utils.errors import DraftFullError
from utils.model_session import ModelSession, common_prefix, prefill
from utils.sampling import Distribution, lead
from utils.token_validator import Draft

# Tokens never reach over such a place: text before it is tokenized once and for all.
_WORD_START = re.compile(rb"(?<=\S)[ \n](?=\S)")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")
LONGEST_TAIL_BYTES = 512
# Where no blank ends a word, this many tokens may still change.
UNSETTLED_TOKENS = 3
OWN_TOKENS = 3


class Rereading:
    """Committed tokens of the target as text, in tokens of the draft: `ids`.

    Of what was read, only the end is tokenized anew when more follows.
    """

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self.ids: list[int] = list(spelling.beginning)
        self._tail = b""
        self._fixed = len(self.ids)
        self._count = 0

    def read(self, token_ids: Sequence[int]) -> int:
        """Read what is new; return how many of the ids are certain to be as they were."""
        kept = self._fixed
        if len(token_ids) == self._count:
            return len(self.ids)
        del self.ids[kept:]
        for token_id in token_ids[self._count :]:
            own = self._spelling.control(token_id)
            if own is None:
                self._tail += self._spelling.piece(token_id)
            else:
                self._settle(len(self._tail))
                if self._count or self.ids != [own]:
                    self.ids.append(own)
        self._count = len(token_ids)
        self._settle(_last_word_start(self._tail))
        self._fixed = len(self.ids)
        self.ids += self._spelling.of_bytes(self._tail)
        return kept

    def _settle(self, length: int) -> None:
        self.ids += self._spelling.of_bytes(self._tail[:length])
        self._tail = self._tail[length:]


class TextDrafter:
    """Drafts text, token by token of its own; what it read stays in its KV cache."""

    # A guess may be part of what is one token for the draft.
    reads_guesses = False

    def __init__(
        self,
        name: str,
        session: ModelSession,
        draft: DraftVocabulary,
        target: DraftVocabulary,
        *,
        spelling: Spelling,
        encode: Encode,
    ) -> None:
        """`encode` tokenizes text for the target as it stands in mid-sentence."""
        self.name = name
        self.hindsight: Hindsight = ()
        self._session = session
        self._draft = draft
        self._target = target
        self._spelling = spelling
        self._encode = encode
        self._reading = Rereading(spelling)
        self._agreed = 0

    def begin(self, token_ids: Sequence[int]) -> None:
        """Drop from the cache what is not the beginning of the prompt.

        Raises `DraftFullError` where nothing fits behind it.
        """
        self._reading, self._agreed = Rereading(self._spelling), 0
        self._align(token_ids)
        self._require_room()

    def lag(self, token_ids: Sequence[int]) -> int:
        """Return how many tokens of its own the draft has not read."""
        self._agreed = min(self._agreed, self._reading.read(token_ids))
        return len(self._reading.ids) - self._agreed

    def observe(self, token_ids: Sequence[int]) -> None:
        """Drop from the cache what is not the beginning of the committed text."""
        self._align(token_ids)

    def catch_up(self, token_ids: Sequence[int], _picker: Picker) -> Iterator[Hindsight]:
        """Read what is not read but the end; what it would have drafted is not told."""
        self._align(token_ids)
        for _ in prefill(self._session, self._reading.ids[:-1][: self._session.n_ctx]):
            yield ()

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
        self._align(token_ids)
        session, ids = self._session, self._reading.ids
        most = min(OWN_TOKENS * (limit + 1), self._require_room())
        if limit < 1 or not ids:
            return Draft()
        pending = max(len(session.cached), len(ids) - session.max_batch)
        if pending > len(session.cached):
            for _ in prefill(session, ids[:pending]):
                pass
        written = _Written(self._target, self._encode)
        drafted: list[int] = []
        unread = ids[pending:]
        for _ in range(most):
            logits = session.decode(unread, rows=1)[0]
            own = int(logits.argmax())
            if not self._take(own, lead(logits, own), written):
                break
            settled = written.settled(limit)
            if settled[: len(drafted)] != drafted:
                break
            # All are asked for: those that came at once cost nothing more.
            asked = [wants_more(written.margin(n)) for n in range(len(drafted), len(settled))]
            drafted = settled
            if len(drafted) == limit or written.is_complete or not all(asked):
                break
            unread = [own]
        return _certain(drafted, picker)

    def _require_room(self) -> int:
        """Return how many tokens of its own may be drafted: the last one is never decoded."""
        room = self._session.n_ctx - len(self._reading.ids) + 1
        if room < 1:
            raise DraftFullError.of(self._session.n_ctx)
        return room

    def _take(self, own: int, margin: float, written: _Written) -> bool:
        """Write a token down; False where it is no text and no end."""
        if self._draft.is_end(own):
            written.end(self._spelling.end, margin)
            return True
        piece = b"" if own in self._draft.control_ids else self._draft.piece(own)
        written.add(piece, margin)
        return bool(piece)

    def _align(self, token_ids: Sequence[int]) -> None:
        """Bring `ids` up to date, and roll the cache back to what it shares with all but one."""
        kept = min(self._agreed, self._reading.read(token_ids), len(self._session.cached))
        self._agreed = common_prefix(self._session.cached, self._reading.ids[:-1], kept)
        self._session.rollback(self._agreed)


class _Written:
    """The text that a draft wrote, as tokens of the target."""

    def __init__(self, target: DraftVocabulary, encode: Encode) -> None:
        self._target = target
        self._encode = encode
        self._bytes = b""
        self._margins: list[tuple[int, float]] = []
        self._end: int | None = None
        self._ends: list[int] = []
        self.is_complete = False

    def add(self, piece: bytes, margin: float) -> None:
        self._bytes += piece
        self._margins.append((len(self._bytes), margin))

    def end(self, token_id: int | None, margin: float) -> None:
        self.is_complete = True
        self._end = token_id
        self._margins.append((len(self._bytes) + 1, margin))

    def settled(self, limit: int) -> list[int]:
        """Return at most `limit` tokens that stay as they are, however the text goes on."""
        first = next(characters(self._bytes), "")
        text = first if isinstance(first, str) else ""
        token_ids = self._encode(text)
        self._ends = []
        for token_id in token_ids:
            before = self._ends[-1] if self._ends else 0
            self._ends.append(before + len(self._target.piece(token_id)))
        if self.is_complete:
            self._ends.append(len(self._bytes) + 1)
            return [*token_ids, *([] if self._end is None else [self._end])][:limit]
        boundary = max((match.start() for match in _WORD_END.finditer(text)), default=0)
        sure_bytes = len(text[:boundary].encode())
        sure = sum(end <= sure_bytes for end in self._ends)
        return token_ids[: min(limit, sure or max(0, len(token_ids) - UNSETTLED_TOKENS))]

    def margin(self, index: int) -> float:
        """Return the least margin of what token `index` was made from."""
        start = self._ends[index - 1] if index else 0
        before = 0
        least = float("inf")
        for end, margin in self._margins:
            if end > start and before < self._ends[index]:
                least = min(least, margin)
            before = end
        return least


def _certain(token_ids: Sequence[int], picker: Picker) -> Draft:
    """Return a draft without doubts, up to the first token that ends the answer."""
    for index, token_id in enumerate(token_ids):
        if picker.is_end(token_id):
            token_ids = token_ids[: index + 1]
            break
    return Draft(tuple(token_ids), tuple(map(Distribution.certain, token_ids)))


def _last_word_start(tail: bytes) -> int:
    """Return where the last word begins; in text without blanks, the middle of what is long."""
    start = max((match.start() for match in _WORD_START.finditer(tail)), default=0)
    if len(tail) - start <= LONGEST_TAIL_BYTES:
        return start
    start = len(tail) - LONGEST_TAIL_BYTES // 2
    while start and tail[start] & 0xC0 == 0x80:
        start -= 1
    return start
