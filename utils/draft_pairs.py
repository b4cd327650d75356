"""Whether a draft suits a target, and how: by their headers, nothing loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from utils.llama.gguf_header import GGUFHeader, VocabularyHeader
from utils.vocabulary_map import Fit, common_share

MAX_SIZE_DIFFERENCE = 128
FIRST_COMPARED_ID = 5
# With the embedded pair, picking among common tokens was kept more often than writing text from
# 60% on, by a tenth at 97%, and at 50% no more.
LEAST_COMMON = 0.5
LITTLE_COMMON = 0.9
KEPT_PAIRS = 256
_NORMAL, _USER_DEFINED, _BYTE = 1, 4, 6
_BYTE_TEXT = re.compile(rb"<0x([0-9A-Fa-f]{2})>")
_BYTE_LEVEL = "gpt2"
_BLANK = "\N{LOWER ONE EIGHTH BLOCK}".encode()


@dataclass(frozen=True, slots=True)
class PairCheck:
    """Whether a draft suits a target, and if not, why.

    `fit` is how it drafts: in the target's own tokens, in those that both have, or as text.
    `overlap` is what the vocabularies have in common, of the larger one.
    """

    compatible: bool
    reason: str = ""
    fit: Fit = "same"
    overlap: float = 1.0

    @property
    def note(self) -> str:
        """What users should know of a draft that suits; nothing where all is as usual."""
        if not self.compatible or self.fit == "same":
            return ""
        percent = 100 if self.overlap == 1 else min(99, round(100 * self.overlap))
        return f"another vocabulary, {percent}% in common"

    @property
    def warning(self) -> str:
        """What to expect where the vocabularies have little in common."""
        if not self.note or self.overlap >= LITTLE_COMMON:
            return ""
        return f"{self.note}: fewer of its guesses will be right"


def check_pair(target: GGUFHeader, draft: GGUFHeader) -> PairCheck:
    """Tell whether the draft can guess tokens of the target, and how.

    Neither may be recurrent, but for a target with snapshots: rejected tokens could not be taken
    back. Vocabularies are the same by the rules of llama.cpp; others are compared by the bytes of
    their ordinary tokens.
    """
    reason = recurrent(target, "target") or recurrent(draft, "draft")
    if reason:
        return PairCheck(compatible=False, reason=reason)
    return _compare(target.vocabulary, draft.vocabulary)


def recurrent(header: GGUFHeader, role: str) -> str:
    """Return why a model cannot be part of a pair; nothing where it can take tokens back.

    A target can by snapshots, which hold the tokens of one pass; a draft makes a pass for each.
    """
    if not header.is_recurrent_or_hybrid or (role == "target" and header.snapshots):
        return ""
    return f"the {role} cannot take tokens back: {header.architecture} is a recurrent model"


@lru_cache(maxsize=KEPT_PAIRS)
def _compare(target: VocabularyHeader, draft: VocabularyHeader) -> PairCheck:
    if _is_same(target, draft):
        return PairCheck(compatible=True)
    overlap = common_share(_pieces(draft), _pieces(target))
    if not overlap:
        return PairCheck(compatible=False, reason="the vocabularies have nothing in common")
    fit: Fit = "tokens" if overlap >= LEAST_COMMON else "text"
    return PairCheck(compatible=True, fit=fit, overlap=overlap)


def _is_same(target: VocabularyHeader, draft: VocabularyHeader) -> bool:
    sizes = len(draft.tokens), len(target.tokens)
    compared = slice(FIRST_COMPARED_ID, min(sizes))
    return (
        (target.kind, _bos(target), _eos(target)) == (draft.kind, _bos(draft), _eos(draft))
        and abs(sizes[0] - sizes[1]) <= MAX_SIZE_DIFFERENCE
        and target.tokens[compared] == draft.tokens[compared]
    )


def _bos(vocabulary: VocabularyHeader) -> int | None:
    # Left unsaid, llama.cpp adds one for this kind only.
    adds = vocabulary.kind == "llama" if vocabulary.add_bos is None else vocabulary.add_bos
    return vocabulary.bos if adds else None


def _eos(vocabulary: VocabularyHeader) -> int | None:
    return vocabulary.eos if vocabulary.add_eos else None


@lru_cache(maxsize=2)
def _pieces(vocabulary: VocabularyHeader) -> frozenset[bytes]:
    """Return the bytes that each ordinary token adds to a text."""
    is_byte_level, byte_of = vocabulary.kind == _BYTE_LEVEL, _byte_of_character()
    types = vocabulary.types or (_NORMAL,) * len(vocabulary.tokens)
    pieces = set()
    for token_id, (text, kind) in enumerate(zip(vocabulary.tokens, types, strict=True)):
        if token_id in (vocabulary.bos, vocabulary.eos):
            continue
        if kind == _USER_DEFINED:
            pieces.add(text)
        elif kind == _BYTE and (match := _BYTE_TEXT.fullmatch(text)):
            pieces.add(bytes([int(match[1], 16)]))
        elif kind == _NORMAL:
            pieces.add(_from_byte_level(text, byte_of) if is_byte_level else _plain(text))
    return frozenset(pieces - {b""})


def _plain(text: bytes) -> bytes:
    return text.replace(_BLANK, b" ")


def _from_byte_level(text: bytes, byte_of: dict[str, int]) -> bytes:
    try:
        return bytes(byte_of[character] for character in text.decode())
    except (KeyError, UnicodeDecodeError):
        return text


def _byte_of_character() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for."""
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = (byte for byte in range(256) if byte not in shown)
    return {chr(b): b for b in shown} | {chr(256 + n): b for n, b in enumerate(hidden)}
