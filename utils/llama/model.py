"""A GGUF model opened in llama.cpp: header checked first, one context, warmed up."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from types import TracebackType
from typing import Any, Self

import numpy as np

from config import FlashAttention, ModelOptions
from utils.errors import ModelError, ModelLoadError
from utils.llama.gguf_header import GGUFHeader, read_header
from utils.llama.kernels import can_repack
from utils.llama.library import has_gpu, native, system_info, take_errors
from utils.llama.recurrent_session import RecurrentSession
from utils.llama.session import LlamaSession
from utils.llama.thread_choice import ThreadChoice
from utils.llama.threads import physical_cores
from utils.llama.vocabulary import LlamaVocabulary
from utils.model_session import ModelInfo

MAX_UBATCH = 512
MAX_SCORES_BYTES = 512 * 2**20
_FLASH = {
    "auto": native.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": native.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": native.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
_CACHE_TYPES = {
    "f16": native.GGML_TYPE_F16,
    "q8_0": native.GGML_TYPE_Q8_0,
    "q4_0": native.GGML_TYPE_Q4_0,
}
OnProgress = Callable[[float], bool | None]


class LlamaModel:
    """A model with its vocabulary and one session; belongs to the thread that opened it.

    `can_rollback` is False for recurrent and hybrid models of which no snapshots can be kept: their
    memory cannot be cut, so a rollback there costs decoding again, and drafting does not pay.
    """

    def __init__(self, header: GGUFHeader, options: ModelOptions, *, max_rows: int) -> None:
        self.header = header
        self._options = options
        self._max_rows = max_rows
        self._owner = get_ident()
        self._model: int | None = None
        self._context: int | None = None
        self.can_rollback = False

    vocabulary: LlamaVocabulary
    session: LlamaSession
    info: ModelInfo

    @classmethod
    def open(
        cls,
        path: Path,
        options: ModelOptions,
        *,
        max_rows: int = 17,
        on_progress: OnProgress | None = None,
    ) -> Self:
        """Load a model, with room for `max_rows` rows of logits a decode.

        `on_progress` gets the loaded share, 0 to 1, and stops the loading by returning False.
        Raises `ModelFileError` before, and `ModelLoadError` after llama.cpp read the file.
        """
        opened = cls(read_header(path), options, max_rows=max_rows)
        take_errors()
        try:
            opened._load(on_progress)
            opened._create_context()
            opened._warm_up()
        except BaseException:
            opened.close()
            raise
        return opened

    @property
    def returnable_tokens(self) -> int:
        """How many tokens of its last pass can be taken back without decoding again."""
        if not self.can_rollback:
            return 0
        session = self.session
        return session.snapshots if isinstance(session, RecurrentSession) else session.max_batch

    @property
    def chat_template(self) -> str | None:
        """The chat template in the file, if any."""
        return self.header.chat_template

    def close(self) -> None:
        """Free everything native; later calls of session and vocabulary raise `ModelError`."""
        if self._model is None:
            return
        if self._owner != get_ident():
            raise ModelError("model is closed from a thread that did not open it")
        if hasattr(self, "session"):
            self.session.close()
        if hasattr(self, "vocabulary"):
            self.vocabulary.close()
        if self._context is not None:
            native.llama_free(self._context)
        native.llama_model_free(self._model)
        self._context = self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _load(self, on_progress: OnProgress | None) -> None:
        options = self._options
        raised: list[BaseException] = []

        def report(share: float, _data: Any) -> bool:
            try:
                return on_progress is None or on_progress(share) is not False
            except BaseException as error:  # C cannot carry it: raised below
                raised.append(error)
                return False

        callback = native.llama_progress_callback(report)
        params = native.llama_model_default_params()
        params.n_gpu_layers = options.gpu_layers
        params.load_mode = (
            native.LLAMA_LOAD_MODE_MMAP if options.use_mmap else native.LLAMA_LOAD_MODE_NONE
        )
        params.use_extra_bufts = can_repack()
        params.progress_callback = callback
        self._model = native.llama_model_load_from_file(os.fsencode(self.header.path), params)
        if raised:
            raise raised[0]
        if self._model is None:
            raise self._load_error("llama.cpp cannot load the model")
        if native.llama_model_has_encoder(self._model):
            raise self._load_error("model is an encoder, it cannot chat")
        self.vocabulary = LlamaVocabulary(native.llama_model_get_vocab(self._model))

    def _create_context(self) -> None:
        options = self._options
        n_ctx = min(options.context_tokens, self.header.trained_context)
        threads = options.threads or physical_cores()
        batch_threads = options.batch_threads or threads
        max_rows = min(self._max_rows, n_ctx, options.batch_tokens)
        params = native.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = max(max_rows, min(options.batch_tokens, n_ctx))
        params.n_ubatch = min(params.n_batch, MAX_UBATCH)
        params.n_seq_max = 1
        # The last tokens of a pass must fit in one part of it with one to spare, or llama.cpp dies.
        params.n_rs_seq = max(0, min(self.header.snapshots, params.n_ubatch - 2))
        params.n_outputs_max = params.n_outputs_max_per_seq = max_rows
        params.n_threads, params.n_threads_batch = threads, batch_threads
        flash_attention = self._flash_attention(n_ctx, params.n_ubatch)
        params.flash_attn_type = _FLASH[flash_attention]
        params.type_k = params.type_v = _CACHE_TYPES[options.cache_type]
        self._context = native.llama_init_from_model(self._model, params)
        if self._context is None:
            raise self._load_error("llama.cpp cannot create a context")
        is_recurrent = any(
            ask(self._model)
            for ask in (native.llama_model_is_recurrent, native.llama_model_is_hybrid)
        )
        self.session = (RecurrentSession if is_recurrent else LlamaSession)(
            self._context, n_vocab=self.vocabulary.size, n_ctx=n_ctx, max_rows=max_rows
        )
        # With flash attention the number of threads is part of what is computed, and so it is with
        # the matrix instructions of ARM, which take two rows at once where a thread has two.
        is_free = not (options.threads or options.batch_threads or has_gpu())
        is_same = flash_attention == "off" and "MATMUL_INT8" not in system_info()
        if is_free and is_same and threads > 1:
            self.session.thread_choice = ThreadChoice(threads)
        self.info = self._describe(n_ctx, threads, batch_threads)

    def _flash_attention(self, n_ctx: int, n_ubatch: int) -> FlashAttention:
        """Decide "auto": on a processor plain attention is up to four times faster.

        It needs the cache in F16, and memory for a score per head, position and token of a batch.
        """
        if self._options.flash_attention != "auto" or has_gpu():
            return self._options.flash_attention
        scores_bytes = 4 * n_ctx * n_ubatch * self.header.head_count
        small = scores_bytes <= MAX_SCORES_BYTES
        return "off" if small and self._options.cache_type == "f16" else "auto"

    def _describe(self, n_ctx: int, threads: int, batch_threads: int) -> ModelInfo:
        header = self.header
        return ModelInfo(
            path=str(header.path),
            name=header.name,
            architecture=header.architecture,
            quantization=header.quantization,
            parameters=header.parameters,
            size_bytes=header.size_bytes,
            vocabulary_size=self.vocabulary.size,
            trained_context=header.trained_context,
            context_tokens=n_ctx,
            threads=threads,
            batch_threads=batch_threads,
        )

    def _warm_up(self) -> None:
        """Decode as many rows as there can be, so that the logits never move again."""
        session = self.session
        count = max(session.max_rows, min(2, session.max_batch))
        first = self.vocabulary.bos or 0
        logits = session.decode([first] * count, rows=session.max_rows)
        for row in range(session.max_rows):
            pointer = native.llama_get_logits_ith(self._context, count - session.max_rows + row)
            there = np.ctypeslib.as_array(pointer, (session.n_vocab,)) if pointer else None
            if there is None or there.ctypes.data != logits[row].ctypes.data:
                raise self._load_error("llama.cpp lays out logits in an unknown way")
        if isinstance(session, RecurrentSession):
            self.can_rollback = session.try_out()
        else:
            self.can_rollback = session.cut(count - 1)
            session.clear()

    def _load_error(self, problem: str) -> ModelLoadError:
        reason = take_errors() or "no reason given"
        return ModelLoadError(f"{problem}: {self.header.path.name!r}: {reason}")
