"""The token ids of recent conversations, so that a next turn finds its history in the cache.

What a model wrote need not be what its tokenizer makes of the same text. A conversation that comes
back as text gets its former ids again wherever the texts agree, and only what is new is prefilled.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate

from utils.model_session import Vocabulary

REMEMBERED = 8
CONTROL_BASE = 0x100


class TokenHistory:
    """The newest conversations, as ids and as text in which control tokens show."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: deque[tuple[list[int], list[int], str]] = deque(maxlen=REMEMBERED)

    def remember(self, token_ids: Sequence[int]) -> None:
        """Keep a conversation, in place of those it continues."""
        borders, text = self._spell(token_ids)
        kept = [known for known in self._known if not text.startswith(known[2])]
        self._known.clear()
        self._known.extend([*kept, (list(token_ids), borders, text)])

    def splice(self, token_ids: Sequence[int]) -> list[int]:
        """Return ids of the same text, with those of the conversation it continues in front."""
        borders, text = self._spell(token_ids)
        best: tuple[int, list[int], int] = (0, [], 0)
        for known_ids, known_borders, known_text in self._known:
            agreed = _agreement(text, known_text)
            new, old = _last_common(borders, known_borders, agreed)
            if borders[new] > borders[best[2]]:
                best = (old, known_ids, new)
        old, known_ids, new = best
        return [*known_ids[:old], *token_ids[new:]]

    def _spell(self, token_ids: Sequence[int]) -> tuple[list[int], str]:
        """Return where tokens end, and the text: a character a byte, others for controls."""
        pieces = [
            self._vocabulary.piece(token_id).decode("latin-1") or chr(CONTROL_BASE + token_id)
            for token_id in token_ids
        ]
        return [0, *accumulate(map(len, pieces))], "".join(pieces)


def _agreement(first: str, second: str) -> int:
    """Return how many leading characters agree."""
    lengths = range(1, min(len(first), len(second)) + 1)
    return bisect_left(lengths, 1, key=lambda length: first[:length] != second[:length])


def _last_common(first: list[int], second: list[int], limit: int) -> tuple[int, int]:
    """Return the indexes of the last border, up to `limit`, that both have."""
    i, j = bisect_right(first, limit) - 1, bisect_right(second, limit) - 1
    while first[i] != second[j]:
        if first[i] > second[j]:
            i -= 1
        else:
            j -= 1
    return i, j
