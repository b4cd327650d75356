"""One sequence of tokens in a llama.cpp context: the hot path between Python and the model.

llama.cpp ends the whole process on an oversized batch, and quietly empties its memory on a negative
position, so everything is checked here before it is called. A context belongs to one thread.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from time import perf_counter
from typing import Any

import numpy as np

from utils.errors import ModelError
from utils.llama.library import logits_address, native, take_errors
from utils.llama.thread_choice import ThreadChoice
from utils.model_session import DecodeAborted, FloatArray

ABORTABLE_TOKENS = 17
# What a draft has yet to read is often little more than a question.
FEW_TOKENS = 64
_OPEN_END = -1
_OK, _NO_ROOM, _ABORTED = 0, 1, 2
_NO_CALLBACK = native.ggml_abort_callback()


class LlamaSession:
    """Sequence `sequence_id` of a context, in step with what the context remembers of it.

    `should_stop` is asked while more than 16 tokens are decoded (prompts); shorter batches are over
    before it would matter. `n_ctx` and `max_rows` are limits of the session, not of the context.
    A `thread_choice` says with how many threads such short batches are decoded.
    """

    def __init__(
        self, context: int, *, n_vocab: int, n_ctx: int, max_rows: int, sequence_id: int = 0
    ) -> None:
        self.n_vocab = n_vocab
        self.n_ctx = n_ctx
        self.max_batch = int(native.llama_n_batch(context))
        self.max_rows = max_rows
        self.sequence_id = sequence_id
        self.should_stop: Callable[[], bool] | None = None
        self.thread_choice: ThreadChoice | None = None
        self._context: int | None = context
        self._memory = native.llama_get_memory(context)
        self._owner = get_ident()
        self._cached: list[int] = []
        self._positions = memoryview(array("i", range(n_ctx)))
        # Views of the first 0, 1, 2... rows.
        self._logits: list[FloatArray] = [np.empty((0, n_vocab), np.float32)]
        self._logits_address = 0
        self._stop_error: BaseException | None = None
        self._threads = native.llama_n_threads(context), native.llama_n_threads_batch(context)
        self._few_threads: int | None = None
        self._abort_callback = native.ggml_abort_callback(self._ask_to_stop)
        self._batch = native.llama_batch_init(self.max_batch, 0, 1)
        self._token_view, self._position_view, self._row_view = self._view_batch()

    @property
    def cached(self) -> Sequence[int]:
        """The tokens in the KV cache, in order; not to be changed by the caller."""
        return self._cached

    def decode(self, token_ids: Sequence[int], *, rows: int, width: int = 0) -> FloatArray:
        """Append tokens to the cache and return the logits after the last `rows` of them.

        The pass is made at least `width` tokens wide where there is room; the tokens that pad it
        leave nothing behind. The array, of shape (rows, n_vocab), is a view that the next `decode`
        overwrites. Raises `ModelError`, or `DecodeAborted` when stopped; `cached` then tells what
        is still held.
        """
        cached = self._cached
        start, count = len(cached), len(token_ids)
        if not (
            self._owner == get_ident()
            and self._context is not None
            and 0 < count <= self.max_batch
            and start + count <= self.n_ctx
            and 0 <= rows <= self.max_rows
            and rows <= count
            and min(token_ids) >= 0
            and max(token_ids) < self.n_vocab
        ):
            raise self._refusal(token_ids, rows)
        total = max(count, min(width, self.max_batch, self.n_ctx - start))
        self._fill_batch(token_ids, start, rows, total)
        if count >= ABORTABLE_TOKENS:
            status = self._decode_prompt()
        elif self.thread_choice is not None:
            status = self._decode_timed(self.thread_choice, total, has_output=rows > 0)
        else:
            status = native.llama_decode(self._context, self._batch)
        if status != _OK:
            self._fail(status, token_ids)
        cached.extend(token_ids)
        if total > count and not self.cut(start + count):
            raise ModelError("padding cannot be taken back: the model is a recurrent one")
        return self._read_logits(rows)

    def spare_threads(self, threads: int | None) -> None:
        """Decode up to 64 tokens with so many threads, and more with all; None: all with all."""
        self._check_owner()
        self._few_threads = threads
        self._set_threads(threads)

    @contextmanager
    def same_threads(self) -> Iterator[None]:
        """Decode with as many threads as seem best now, and try no other number meanwhile."""
        choice = self.thread_choice
        if choice is not None:
            self.spare_threads(choice.chosen)
        self.thread_choice = None
        try:
            yield
        finally:
            self.thread_choice = choice

    @property
    def has_all_threads(self) -> bool:
        """Tell whether no other programs have made fewer threads the better choice."""
        return self.thread_choice is None or self.thread_choice.is_most

    def rollback(self, length: int) -> None:
        """Keep the first `length` tokens of the cache; 0 <= length <= len(cached).

        A model whose memory cannot be cut (recurrent ones) decodes the kept tokens again.
        """
        self._check_owner()
        if not 0 <= length <= len(self._cached):
            raise ModelError(
                f"rollback is out of range: to {length} of {len(self._cached)} tokens held"
            )
        if length == len(self._cached):
            return
        if self.cut(length):
            return
        kept = self._cached[:length]
        self.clear()
        for start in range(0, length, self.max_batch):
            self.decode(kept[start : start + self.max_batch], rows=0)

    def cut(self, length: int) -> bool:
        """Drop what follows the first `length` tokens; False, and nothing done, if impossible."""
        self._check_owner()
        done = bool(
            native.llama_memory_seq_rm(self._memory, self.sequence_id, max(0, length), _OPEN_END)
        )
        if not done:
            return False
        del self._cached[length:]
        last = native.llama_memory_seq_pos_max(self._memory, self.sequence_id)
        if last != len(self._cached) - 1:
            held = len(self._cached)
            self.clear()
            raise ModelError(f"model memory is out of step: {last + 1} tokens held, not {held}")
        return True

    def clear(self) -> None:
        """Forget all tokens."""
        self._check_owner()
        self._cached.clear()
        if not native.llama_memory_seq_rm(self._memory, self.sequence_id, 0, _OPEN_END):
            raise ModelError("model memory cannot be emptied: close the model and load it again")

    def close(self) -> None:
        """Free the batch; the context itself is freed by the model."""
        if self._context is not None:
            self._check_owner()
            native.llama_batch_free(self._batch)
            self._context = None
            self._logits = self._logits[:1]

    def _view_batch(self) -> tuple[memoryview, memoryview, memoryview]:
        batch, size = self._batch, (self.max_batch,)
        np.ctypeslib.as_array(batch.n_seq_id, size)[:] = 1
        for index in range(self.max_batch):
            batch.seq_id[index][0] = self.sequence_id
        token_view, position_view, row_view = (
            np.ctypeslib.as_array(pointer, size).view(kind).data
            for pointer, kind in ((batch.token, "i"), (batch.pos, "i"), (batch.logits, "b"))
        )
        return token_view, position_view, row_view

    def _fill_batch(self, token_ids: Sequence[int], start: int, rows: int, total: int) -> None:
        self._batch.n_tokens = total
        if total == 1:
            self._token_view[0], self._position_view[0] = token_ids[0], start
            self._row_view[0] = rows
            return
        count, spare = len(token_ids), total - len(token_ids)
        self._token_view[:total] = array("i", [*token_ids, *[token_ids[-1]] * spare])
        self._position_view[:total] = self._positions[start : start + total]
        self._row_view[:total] = array("b", bytes(count - rows) + b"\1" * rows + bytes(spare))

    def _decode_prompt(self) -> int:
        """Decode with all threads if it is long, and stop when asked to."""
        has_few = self._few_threads and self._batch.n_tokens > FEW_TOKENS
        if has_few:
            self._set_threads(None)
        if self.should_stop is not None:
            native.llama_set_abort_callback(self._context, self._abort_callback, None)
        try:
            return int(native.llama_decode(self._context, self._batch))
        finally:
            native.llama_set_abort_callback(self._context, _NO_CALLBACK, None)
            if has_few:
                self._set_threads(self._few_threads)

    def _decode_timed(self, choice: ThreadChoice, width: int, *, has_output: bool) -> int:
        """Decode with as many threads as seem best, and tell what came of it."""
        if choice.threads != self._few_threads:
            self.spare_threads(choice.threads)
        begin = perf_counter()
        status = native.llama_decode(self._context, self._batch)
        # What has no output, or failed, took less than others.
        if has_output and status == _OK:
            choice.note(width, perf_counter() - begin)
        return int(status)

    def _set_threads(self, threads: int | None) -> None:
        single, batch = (threads, threads) if threads else self._threads
        native.llama_set_n_threads(self._context, single, batch)

    def _ask_to_stop(self, _data: Any) -> bool:
        try:
            return self.should_stop is not None and self.should_stop()
        except BaseException as error:  # C cannot carry it: `_fail` raises it
            self._stop_error = error
            return True

    def _read_logits(self, rows: int) -> FloatArray:
        if rows and (address := logits_address(self._context)) != self._logits_address:
            if not address:
                raise ModelError("model returned no logits: it cannot be used for chat")
            pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
            logits = np.ctypeslib.as_array(pointer, (self.max_rows, self.n_vocab))
            self._logits = [logits[:count] for count in range(self.max_rows + 1)]
            self._logits_address = address
        return self._logits[rows]

    def _fail(self, status: int, token_ids: Sequence[int]) -> None:
        held = native.llama_memory_seq_pos_max(self._memory, self.sequence_id) + 1
        decoded = held - len(self._cached)
        if 0 <= decoded <= len(token_ids) or (decoded > 0 and self._drop_padding(token_ids)):
            self._cached.extend(token_ids[:decoded])
        else:
            self.clear()
        error, self._stop_error = self._stop_error, None
        if error is not None:
            raise error
        if status == _ABORTED:
            raise DecodeAborted
        reason = take_errors() or ("no room in the cache" if status == _NO_ROOM else "")
        raise ModelError(f"decoding {len(token_ids)} tokens failed: code {status} {reason}".strip())

    def _drop_padding(self, token_ids: Sequence[int]) -> bool:
        """Remove what stands behind the tokens of a pass that failed."""
        end = len(self._cached) + len(token_ids)
        return bool(native.llama_memory_seq_rm(self._memory, self.sequence_id, end, _OPEN_END))

    def _refusal(self, token_ids: Sequence[int], rows: int) -> ModelError:
        self._check_owner()
        start, count = len(self._cached), len(token_ids)
        if not 0 < count <= self.max_batch:
            return ModelError(f"batch has {count} tokens: it takes 1 to {self.max_batch}")
        if start + count > self.n_ctx:
            return ModelError(f"context is full: {start} + {count} tokens of {self.n_ctx}")
        if not (0 <= rows <= count and rows <= self.max_rows):
            limit = min(count, self.max_rows)
            return ModelError(f"{rows} rows of logits asked: 0 to {limit} can be had")
        bad = next(token_id for token_id in token_ids if not 0 <= token_id < self.n_vocab)
        return ModelError(f"token id is out of range: {bad} of {self.n_vocab}")

    def _check_owner(self) -> None:
        if self._owner != get_ident():
            raise ModelError("session is used from a thread that did not open it")
        if self._context is None:
            raise ModelError("session is closed: its model was closed")
