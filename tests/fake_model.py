"""A model small enough to compute by hand: its logits depend on the last token alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from utils.errors import ModelError
from utils.model_session import FloatArray


class FakeSession:
    """A `ModelSession` over a table of logits, strict about what it is asked.

    Like llama.cpp's buffer, the rows it returns are worthless after the next decode: they are
    filled with NaN, so that a stale view shows at once.
    """

    def __init__(self, table: FloatArray, *, n_ctx: int = 1 << 30, max_batch: int = 32) -> None:
        self.table = table.astype(np.float32)
        self.n_vocab = table.shape[1]
        self.n_ctx = n_ctx
        self.max_batch = max_batch
        self.cached: list[int] = []
        self.decoded = 0
        self.fail_at_decode: int | None = None
        self.decodes = 0
        self._rows = np.empty((0, self.n_vocab), np.float32)

    def decode(self, token_ids: Sequence[int], *, rows: int, width: int = 0) -> FloatArray:
        self.decodes += 1
        if self.fail_at_decode is not None and self.decodes >= self.fail_at_decode:
            raise ModelError("decode failed on purpose")
        assert 0 < len(token_ids) <= self.max_batch
        assert 0 <= rows <= len(token_ids)
        assert len(self.cached) + len(token_ids) <= self.n_ctx
        self._rows.fill(np.nan)
        self._rows = self.table[list(token_ids[len(token_ids) - rows :])]
        self.cached.extend(token_ids)
        self.decoded += len(token_ids)
        return self._rows

    def rollback(self, length: int) -> None:
        assert 0 <= length <= len(self.cached)
        del self.cached[length:]


class FakeVocabulary:
    """Letters as tokens; `end` ends an answer."""

    def __init__(self, size: int, end: int | None = None) -> None:
        self.size = size
        self.end = end

    def piece(self, token_id: int) -> bytes:
        return b"" if token_id == self.end else bytes([97 + token_id % 26])

    def is_end(self, token_id: int) -> bool:
        return token_id == self.end
