"""What bookkeeping costs: our plain decoding against a bare `llama_decode` loop, same context."""

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
from utils.llama.model import LlamaModel

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


def measure_loop(path: Path, options: ModelOptions) -> LoopCost:
    """Let both write the same answer in turn."""
    sampling = SamplingParams(temperature=0, max_tokens=TOKENS)
    bare_s, ours_s = [], []
    with Rig(path, None, options) as rig:
        prompt = rig.encode(QUESTION)
        for _ in range(RUNS):
            rig.forget()
            answer = rig.answer(
                prompt, sampling=sampling, speculative=SpeculativeConfig(), drafter="none"
            )
            count = answer.stats.completion_tokens
            token_ids, seconds = _decode_bare(rig.target, prompt, count)
            if tuple(token_ids) != answer.token_ids:
                raise RuntimeError("the bare loop wrote another text")
            bare_s.append(seconds)
            ours_s.append(answer.stats.tpot_s)
        name = f"{path.stem} {rig.target.info.quantization}"
    return LoopCost(name, count, 1e6 * median(bare_s), 1e6 * median(ours_s))


def _decode_bare(model: LlamaModel, prompt: list[int], count: int) -> tuple[list[int], float]:
    """Return `count` greedy tokens and the seconds per token, in as few lines as can be."""
    context, size = model._context, model.vocabulary.size  # the very same kernels and threads
    native.llama_memory_clear(native.llama_get_memory(context), True)  # noqa: FBT003
    _feed(context, prompt[:-1])
    token_ids = [prompt[-1]]
    begin = perf_counter()
    for _ in range(count):
        _feed(context, token_ids[-1:])
        logits = native.llama_get_logits_ith(context, -1)
        token_ids.append(int(np.ctypeslib.as_array(logits, (size,)).argmax()))
    return token_ids[1:], (perf_counter() - begin) / count


def _feed(context: int | None, token_ids: list[int]) -> None:
    tokens = (ctypes.c_int32 * len(token_ids))(*token_ids)
    if native.llama_decode(context, native.llama_batch_get_one(tokens, len(token_ids))):
        raise RuntimeError("llama_decode failed")
