"""Peers in Python: llama-cpp-python with prompt lookup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from llama_cpp import Llama
from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

from config import SamplingParams
from utils.llama.library import has_gpu

DRAFTED_TOKENS = 10


class PythonLookup:
    """`Llama` with `LlamaPromptLookupDecoding` as its documentation shows it.

    All layers are on the GPU where its build, which is ours, has one; attention is as ours there.
    """

    name = "llama-cpp-python, prompt lookup"
    on_gpu = has_gpu()

    def __init__(self, target: Path, *, threads: int, context_tokens: int) -> None:
        self._llama = Llama(
            str(target),
            n_ctx=context_tokens,
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=-1,
            flash_attn=self.on_gpu,
            draft_model=LlamaPromptLookupDecoding(num_pred_tokens=DRAFTED_TOKENS),
            verbose=False,
        )

    def tokens_per_second(self, prompt: Sequence[int], sampling: SamplingParams) -> float:
        """Answer from an empty cache, and return the rate after the first token."""
        llama = self._llama
        llama.n_tokens = 0
        llama.set_seed(sampling.seed or 0)
        count, begin = 0, perf_counter()
        for token_id in llama.generate(
            list(prompt),
            temp=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            repeat_penalty=1.0,
        ):
            if count == 0:
                begin = perf_counter()
            count += 1
            if token_id == llama.token_eos() or count == sampling.max_tokens:
                break
        steps, seconds = count - 1, perf_counter() - begin
        return steps / seconds if steps > 0 else 0.0

    def close(self) -> None:
        """Free the model."""
        self._llama.close()
