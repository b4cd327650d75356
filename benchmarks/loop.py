"""What bookkeeping costs: our plain decoding against a bare `llama_decode` loop, same file."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.rig import Rig
from config import ModelOptions, SamplingParams, SpeculativeConfig
from utils.llama.library import native
from utils.llama.threads import physical_cores

QUESTION = "Count from 1 to 60."
TOKENS = 128
RUNS = 15


@dataclass(frozen=True, slots=True)
class LoopCost:
    """Microseconds per token, medians over interleaved runs of equal length and text."""

    target: str
    tokens: int
    bare_us: float
    ours_us: float

    @property
    def bookkeeping_share(self) -> float:
        """Part of our time that the bare loop does not need."""
        return 1 - self.bare_us / self.ours_us


class BareLoop:
    """Greedy decoding in as few Python lines as can be."""

    def __init__(self, path: Path, options: ModelOptions) -> None:
        self._model = native.llama_model_load_from_file(
            str(path).encode(), native.llama_model_default_params()
        )
        parameters = native.llama_context_default_params()
        parameters.n_ctx = options.context_tokens
        parameters.n_threads = options.threads or physical_cores()
        parameters.n_threads_batch = options.batch_threads or parameters.n_threads
        self._context = native.llama_init_from_model(self._model, parameters)
        self._size = native.llama_vocab_n_tokens(native.llama_model_get_vocab(self._model))

    def close(self) -> None:
        """Free the context and the model."""
        native.llama_free(self._context)
        native.llama_model_free(self._model)

    def run(self, prompt: list[int], count: int) -> tuple[list[int], float]:
        """Return `count` greedy tokens and the seconds per token after the prompt."""
        native.llama_memory_clear(native.llama_get_memory(self._context), True)  # noqa: FBT003
        self._decode(prompt[:-1])
        token_ids = [prompt[-1]]
        begin = perf_counter()
        for _ in range(count):
            self._decode(token_ids[-1:])
            logits = native.llama_get_logits_ith(self._context, -1)
            token_ids.append(int(np.ctypeslib.as_array(logits, (self._size,)).argmax()))
        return token_ids[1:], (perf_counter() - begin) / count

    def _decode(self, token_ids: list[int]) -> None:
        tokens = (ctypes.c_int32 * len(token_ids))(*token_ids)
        if native.llama_decode(self._context, native.llama_batch_get_one(tokens, len(token_ids))):
            raise RuntimeError("llama_decode failed")


def measure_loop(path: Path, options: ModelOptions) -> LoopCost:
    """Let both write the same answer in turn."""
    bare = BareLoop(path, options)
    sampling = SamplingParams(temperature=0, max_tokens=TOKENS)
    bare_s, ours_s = [], []
    with Rig(path, None, options) as rig:
        prompt = rig.encode(QUESTION)
        for _ in range(RUNS):
            rig.forget()
            answer = rig.answer(
                prompt, sampling=sampling, speculative=SpeculativeConfig(), drafter="none"
            )
            token_ids, seconds = bare.run(prompt, answer.stats.completion_tokens)
            if tuple(token_ids) != answer.token_ids:
                raise RuntimeError("the bare loop wrote another text")
            bare_s.append(seconds)
            ours_s.append(answer.stats.tpot_s)
        name = f"{path.stem} {rig.target.info.quantization}"
    bare.close()
    return LoopCost(name, len(token_ids), 1e6 * median(bare_s), 1e6 * median(ours_s))
