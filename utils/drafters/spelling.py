"""The tokens of a target spelled in those of a draft with another vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from utils.vocabulary_map import UNMAPPED, PieceVocabulary, VocabularyMap, usual_end

Encode = Callable[[str], list[int]]


class DraftVocabulary(PieceVocabulary, Protocol):
    """What must be known of a draft's vocabulary to read a target's tokens with it."""

    @property
    def bos(self) -> int | None:
        """The token that begins a text."""
        ...

    @property
    def adds_bos(self) -> bool:
        """True where texts begin with that token."""
        ...


class Spelling:
    """Tokens of the target as tokens of the draft.

    Control tokens become the draft's own of the same text, ends its usual end, and what it does
    not know plain text. `end` is the target's usual end, `beginning` what the draft puts first.
    """

    def __init__(
        self,
        draft: DraftVocabulary,
        target: DraftVocabulary,
        vocabulary_map: VocabularyMap,
        encode: Encode,
    ) -> None:
        """`encode` tokenizes text for the draft as it stands in mid-sentence.

        `vocabulary_map` leads from the draft to the target.
        """
        self._draft = draft
        self._target = target
        self._map = vocabulary_map
        self._encode = encode
        self._controls = {draft.text(token_id): token_id for token_id in draft.control_ids}
        self._bytes = _byte_ids(draft)
        self._known: dict[int, tuple[int, ...]] = {}
        self.end = usual_end(target)
        self.beginning = (draft.bos,) if draft.adds_bos and draft.bos is not None else ()

    def of_token(self, token_id: int) -> tuple[int, ...]:
        """Return the spelling of one token; it has one token at least."""
        spelled = self._known.get(token_id)
        if spelled is None:
            spelled = self._known[token_id] = tuple(self._spell(token_id))
        return spelled

    def control(self, token_id: int) -> int | None:
        """Return the control token of the draft that stands for this one, None for all others."""
        if token_id not in self._target.control_ids:
            return None
        if (source := int(self._map.sources[token_id])) != UNMAPPED:
            return source
        own = self._controls.get(self._target.text(token_id))
        if own is None and token_id == self._target.bos:
            own = self._draft.bos
        if own is None and self._target.is_end(token_id):
            own = usual_end(self._draft)
        return own

    def piece(self, token_id: int) -> bytes:
        """Return what a token of the target looks like as plain text."""
        return self._target.piece(token_id) or self._target.text(token_id).encode()

    def of_bytes(self, data: bytes) -> list[int]:
        """Return the tokens of a text; bytes that are no characters become tokens of a byte."""
        token_ids: list[int] = []
        for part in characters(data):
            if isinstance(part, str):
                token_ids += self._encode(part)
            elif part in self._bytes:
                token_ids.append(self._bytes[part])
        return token_ids

    def _spell(self, token_id: int) -> list[int]:
        if (source := int(self._map.sources[token_id])) != UNMAPPED:
            return [source]
        if (own := self.control(token_id)) is not None:
            return [own]
        # Every token must leave a trace, so that logits can follow it.
        return self.of_bytes(self.piece(token_id)) or self.of_bytes(b" ") or [0]


def _byte_ids(draft: DraftVocabulary) -> dict[int, int]:
    single = (
        (piece, token_id)
        for token_id in range(draft.size)
        if token_id not in draft.control_ids and len(piece := draft.piece(token_id)) == 1
    )
    return {piece[0]: token_id for piece, token_id in single}


def characters(data: bytes) -> Iterator[str | int]:
    """Yield runs of whole characters, and between them single bytes that belong to none."""
    while data:
        try:
            yield data.decode()
            return
        except UnicodeDecodeError as error:
            if error.start:
                yield data[: error.start].decode()
            yield data[error.start]
            data = data[error.start + 1 :]
