"""Tokens of one vocabulary found again in another, by the bytes that they add to a text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from utils.model_session import FloatArray

UNMAPPED = -1
# A logit that leaves no probability, but can be told from a damaged model's.
NEVER = np.float32(-1e30)
# How a draft drafts: in the target's own tokens, in those that both have, or as text.
Fit = Literal["same", "tokens", "text"]
_BYTE_TEXT = re.compile(r"<0x[0-9A-Fa-f]{2}>")


class PieceVocabulary(Protocol):
    """What must be known of a vocabulary to find its tokens in another."""

    @property
    def size(self) -> int:
        """Number of token ids."""
        ...

    @property
    def control_ids(self) -> AbstractSet[int]:
        """Tokens that are no text, ends of an answer among them."""
        ...

    @property
    def eos(self) -> int | None:
        """The token that usually ends an answer."""
        ...

    def piece(self, token_id: int) -> bytes:
        """Bytes that the token adds to a text."""
        ...

    def text(self, token_id: int) -> str:
        """The token as the vocabulary writes it."""
        ...

    def is_end(self, token_id: int) -> bool:
        """Tell whether the token ends an answer."""
        ...


def common_share(first: Collection[bytes], second: AbstractSet[bytes]) -> float:
    """Return the overlap of two vocabularies: what they share of the pieces of the larger one.

    A drafted token can only be right if the draft's word for what follows is one of the target's
    and the other way round, so the smaller of the two shares says most. It is the same number
    seen from either side, and 0 where one of them has no text at all.
    """
    common = sum(piece in second for piece in first)
    return common / max(len(first), len(second), 1)


@dataclass(frozen=True, slots=True)
class VocabularyMap:
    """Which token of a draft stands for which of its target, and the other way round.

    `targets` has an id of the target, or -1, for each of the draft's; `sources` one of the draft
    for each of the target's. Ordinary tokens are mapped one to one, control tokens never, and of
    the ends those of one text, or else the usual ones.
    """

    targets: NDArray[np.int32]
    sources: NDArray[np.int32]
    overlap: float

    @classmethod
    def between(cls, draft: PieceVocabulary, target: PieceVocabulary) -> VocabularyMap:
        """Compare two vocabularies, piece by piece."""
        ours, theirs = _ordinary(draft), _ordinary(target)
        targets = np.full(draft.size, UNMAPPED, np.int32)
        sources = np.full(target.size, UNMAPPED, np.int32)
        same = ((token_id, theirs.get(piece)) for piece, token_id in ours.items())
        for source, found in (*same, *_same_ends(draft, target)):
            if found is not None:
                targets[source] = found
                sources[found] = source
        return cls(targets, sources, common_share(ours, theirs.keys()))


class LogitSpread:
    """Rows of logits moved from the draft's tokens to the target's, into one reused buffer."""

    def __init__(self, vocabulary_map: VocabularyMap) -> None:
        # The first entry is what all tokens take that nothing is mapped to.
        self._logits = np.full(1 + vocabulary_map.targets.size, NEVER, np.float32)
        self._places = vocabulary_map.sources.astype(np.intp) + 1
        self.row: FloatArray = np.empty(vocabulary_map.sources.size, np.float32)

    def fill(self, logits: FloatArray) -> None:
        """Write a row of the draft's logits into `row`: `NEVER` where nothing is mapped."""
        self._logits[1:] = logits
        np.take(self._logits, self._places, out=self.row, mode="clip")


def _ordinary(vocabulary: PieceVocabulary) -> dict[bytes, int]:
    """Return the id of every piece; where several have it, of the one that is no spelled byte."""
    ids: dict[bytes, int] = {}
    controls = vocabulary.control_ids
    for token_id in range(vocabulary.size):
        if token_id in controls or not (piece := vocabulary.piece(token_id)):
            continue
        if piece in ids and (len(piece) > 1 or _BYTE_TEXT.fullmatch(vocabulary.text(token_id))):
            continue
        ids[piece] = token_id
    return ids


def _same_ends(draft: PieceVocabulary, target: PieceVocabulary) -> Iterator[tuple[int, int]]:
    theirs = {target.text(token_id): token_id for token_id in _ends(target)}
    ours = {draft.text(token_id): token_id for token_id in _ends(draft)}
    common = ours.keys() & theirs.keys()
    yield from ((ours[text], theirs[text]) for text in common)
    usual, wanted = usual_end(draft), usual_end(target)
    if usual is not None and wanted is not None and target.text(wanted) not in common:
        yield usual, wanted


def _ends(vocabulary: PieceVocabulary) -> list[int]:
    return [token_id for token_id in sorted(vocabulary.control_ids) if vocabulary.is_end(token_id)]


def usual_end(vocabulary: PieceVocabulary) -> int | None:
    """Return the token that ends an answer, where several could."""
    ends = _ends(vocabulary)
    return vocabulary.eos if vocabulary.eos in ends else next(iter(ends), None)
