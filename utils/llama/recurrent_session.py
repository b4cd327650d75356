"""A sequence whose memory is a state in part, not a list of tokens: recurrent and hybrid models.

llama.cpp can keep the states after the last tokens of a pass, and go back to one of them, once,
before the next pass. Asked to go back further than that pass it goes on from a wrong state without
a word, so what it holds is counted here, and a cut is made when the next pass begins. What lies
further back is read again, from where the newest text that was read ended.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.errors import ModelError
from utils.llama.library import native
from utils.llama.session import LlamaSession
from utils.model_session import FloatArray

MOST_ROUNDING = 0.01
_OPEN_END = -1
_PARTIAL = native.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY


@dataclass(frozen=True, slots=True)
class _KeptState:
    """The state after the first `length` tokens."""

    length: int
    data: Any


class RecurrentSession(LlamaSession):
    """A session that takes back up to `snapshots` tokens of its last pass at no cost.

    Passes are padded to `snapshots + 1` tokens at most, so that the padding can be taken back.
    """

    def __init__(self, context: int, *, n_vocab: int, n_ctx: int, max_rows: int) -> None:
        super().__init__(context, n_vocab=n_vocab, n_ctx=n_ctx, max_rows=max_rows)
        self.snapshots = int(native.llama_n_rs_seq(context))
        self._keeps_states = True
        self._kept: _KeptState | None = None
        self._returnable = 0
        self._has_read = False

    def decode(self, token_ids: Sequence[int], *, rows: int, width: int = 0) -> FloatArray:
        """Append tokens to the cache, as `LlamaSession.decode` does."""
        self._check_owner()
        self._cut_natively()
        if rows and self._has_read:
            self._keep_state()
        self._returnable = self.snapshots
        try:
            logits = super().decode(token_ids, rows=rows, width=min(width, self.snapshots + 1))
        except BaseException:
            self._returnable = 0
            raise
        self._has_read = rows == 0
        # Of what came before the pass no state is left.
        self._returnable = min(self._batch.n_tokens - 1, self.snapshots)
        return logits

    def rollback(self, length: int) -> None:
        """Keep the first `length` tokens; reads again what no state is left of."""
        kept = self._kept
        if kept is None or not kept.length <= length < len(self._cached):
            super().rollback(length)
            return
        if self.cut(length):
            return
        wanted = self._cached[:length]
        if not self._go_back_to(kept):
            self.clear()
        for start in range(len(self._cached), length, self.max_batch):
            self.decode(wanted[start : start + self.max_batch], rows=0)

    def cut(self, length: int) -> bool:
        """Drop what follows the first `length` tokens; False, and nothing done, if impossible."""
        self._check_owner()
        if length <= 0:
            self.clear()
            return True
        # Which never reaches back to before the last pass, nor to before the state that is kept.
        if self._held() - length > self._returnable:
            return False
        del self._cached[length:]
        return True

    def clear(self) -> None:
        """Forget all tokens."""
        self._returnable = 0
        self._kept = None
        self._has_read = False
        super().clear()

    def try_out(self) -> bool:
        """Go back in both ways, and from now on only in those that lead where a fresh start does.

        Returns whether tokens of a pass can be taken back. Leaves the cache empty.
        """
        first, second, *others = (number % self.n_vocab for number in range(self.snapshots + 2))
        self.clear()
        self.decode([first], rows=0)
        fresh = self.decode([second], rows=1)[0].copy()
        self.rollback(1)
        self._keeps_states = _agree(self.decode([second], rows=1)[0], fresh)
        self.clear()
        if self.snapshots:
            self.decode([first, *others], rows=0)
            if not (self.cut(1) and _agree(self.decode([second], rows=1)[0], fresh)):
                self.snapshots = 0
            self.clear()
        return self.snapshots > 0

    def _held(self) -> int:
        """Return how many tokens llama.cpp holds: more than `cached` where a cut is to be made."""
        return int(native.llama_memory_seq_pos_max(self._memory, self.sequence_id)) + 1

    def _cut_natively(self) -> None:
        length = len(self._cached)
        if self._held() == length:
            return
        self._returnable = 0
        native.llama_memory_seq_rm(self._memory, self.sequence_id, length, _OPEN_END)
        if (held := self._held()) != length:
            self.clear()
            raise ModelError(f"model memory is out of step: {held} tokens held, not {length}")

    def _keep_state(self) -> None:
        """Copy the state, which costs little beside the reading that led to it."""
        self._has_read = False
        if not self._keeps_states:
            return
        size = native.llama_state_seq_get_size_ext(self._context, self.sequence_id, _PARTIAL)
        old, self._kept = self._kept, None
        data = old.data if old and len(old.data) == size else (ctypes.c_uint8 * size)()
        if size and size == native.llama_state_seq_get_data_ext(
            self._context, data, size, self.sequence_id, _PARTIAL
        ):
            self._kept = _KeptState(len(self._cached), data)

    def _go_back_to(self, kept: _KeptState) -> bool:
        """Hold what was held then; where False, the memory has to be emptied."""
        size = len(kept.data)
        done = size == native.llama_state_seq_set_data_ext(
            self._context, kept.data, size, self.sequence_id, _PARTIAL
        )
        self._returnable = 0
        self._has_read = False
        if not done or not native.llama_memory_seq_rm(
            self._memory, self.sequence_id, kept.length, _OPEN_END
        ):
            return False
        del self._cached[kept.length :]
        return self._held() == kept.length

    def _fail(self, status: int, token_ids: Sequence[int]) -> None:
        # A pass that was not finished leaves a state that belongs to no text.
        if self._kept is None or not self._go_back_to(self._kept):
            self.clear()
        super()._fail(status, token_ids)


def _agree(logits: FloatArray, expected: FloatArray) -> bool:
    """Tell whether logits differ by rounding only."""
    with np.errstate(all="ignore"):
        return bool(np.square(logits - expected).mean() <= MOST_ROUNDING * expected.var())
