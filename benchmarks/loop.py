"""What bookkeeping costs: our plain decoding against a bare `llama_decode` loop, same context."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.rig import PLAIN, Rig
from config import SamplingParams
from utils.llama.library import native
from utils.llama.model import LlamaModel

QUESTION = "Count from 1 to 60."
TOKENS = 128
RUNS = 15


@dataclass(frozen=True, slots=True)
class LoopCost:
    """Microseconds per token, medians over interleaved runs of equal length and text.

    `plain_vs_llama_cpp` is our tokens per second over those of the bare loop: the median over pairs
    of neighbouring runs, as the machine is seldom as fast as a minute ago.
    """

    target: str
    tokens: int
    bare_us: float
    ours_us: float
    plain_vs_llama_cpp: float

    @property
    def bookkeeping_share(self) -> float:
        """Part of our time that the bare loop does not need."""
        return 1 - self.plain_vs_llama_cpp


def measure_loop(rig: Rig, *, runs: int = RUNS, tokens: int = TOKENS) -> LoopCost:
    """Let both write the same answer in turn, with all threads; either is first as often."""
    session = rig.target.session
    choice, session.thread_choice = session.thread_choice, None
    session.spare_threads(None)
    try:
        return _take_turns(rig, runs, tokens)
    finally:
        session.thread_choice = choice


def _take_turns(rig: Rig, runs: int, tokens: int) -> LoopCost:
    sampling = SamplingParams(temperature=0, max_tokens=tokens)
    prompt = rig.encode(QUESTION)
    wanted = rig.answer(prompt, sampling, PLAIN).token_ids
    bare_s, ours_s = [], []
    for run in range(runs):
        for is_ours in (True, False) if run % 2 else (False, True):
            rig.forget()
            if is_ours:
                answer = rig.answer(prompt, sampling, PLAIN)
                ours_s.append(answer.stats.tpot_s)
                token_ids = answer.token_ids
            else:
                token_ids, seconds = _decode_bare(rig.target, prompt, len(wanted))
                bare_s.append(seconds)
            if token_ids != wanted:
                raise RuntimeError("one of both wrote another text")
    name = f"{rig.target.header.path.stem} {rig.target.info.quantization}"
    ratio = median(bare / ours for bare, ours in zip(bare_s, ours_s, strict=True))
    return LoopCost(name, len(wanted), 1e6 * median(bare_s), 1e6 * median(ours_s), ratio)


def _decode_bare(model: LlamaModel, prompt: list[int], count: int) -> tuple[tuple[int, ...], float]:
    """Return `count` greedy tokens and the seconds per token, from and to empty caches."""
    context, size = model._context, model.vocabulary.size  # the very same kernels and threads
    native.llama_memory_clear(native.llama_get_memory(context), True)  # noqa: FBT003
    _feed(context, prompt[:-1])
    token_ids = [prompt[-1]]
    begin = perf_counter()
    for _ in range(count):
        _feed(context, token_ids[-1:])
        logits = native.llama_get_logits_ith(context, -1)
        token_ids.append(int(np.ctypeslib.as_array(logits, (size,)).argmax()))
    seconds = (perf_counter() - begin) / count
    native.llama_memory_clear(native.llama_get_memory(context), True)  # noqa: FBT003
    return tuple(token_ids[1:]), seconds


def _feed(context: int | None, token_ids: list[int]) -> None:
    tokens = (ctypes.c_int32 * len(token_ids))(*token_ids)
    if native.llama_decode(context, native.llama_batch_get_one(tokens, len(token_ids))):
        raise RuntimeError("llama_decode failed")
