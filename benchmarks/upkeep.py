"""What speculation costs beside the models' work: time of our own code, and memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from benchmarks.comparison import Setting
from benchmarks.rig import ADAPTIVE, PLAIN, Rig, Way
from config import ModelOptions, SamplingParams
from utils.engine.memory import resident_bytes
from utils.llama import session
from utils.llama.gguf_header import estimate_cache_bytes, read_header
from utils.llama.library import has_gpu, native
from utils.prompt_suite import Suite

# Where the round loop finds what it calls of llama.cpp.
NATIVE_CALLS: tuple[tuple[Any, str], ...] = (
    (native, "llama_decode"),
    (session, "logits_address"),
    (native, "llama_memory_seq_rm"),
    (native, "llama_memory_seq_pos_max"),
)
QUESTION = "What is speculative decoding?"
TOKENS = 64


class NativeClock:
    """Sums the seconds that calls of llama.cpp take while it is entered."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._originals = [getattr(place, name) for place, name in NATIVE_CALLS]

    def __enter__(self) -> Self:
        for (place, name), original in zip(NATIVE_CALLS, self._originals, strict=True):
            setattr(place, name, self._timed(original))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for (place, name), original in zip(NATIVE_CALLS, self._originals, strict=True):
            setattr(place, name, original)

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            begin = perf_counter()
            result = call(*arguments)
            self.seconds += perf_counter() - begin
            return result

        return timed


def controller_share(rig: Rig, suite: Suite, setting: Setting) -> float:
    """Return the part of adaptive rounds that is not spent in llama.cpp.

    The median of the first prompts of the categories, each with its prompt in both caches already,
    so that nothing but rounds is timed.
    """
    sampling = setting.sampling.model_copy(update={"max_tokens": TOKENS})
    shares = []
    for prompts in suite.values():
        prompt = rig.encode(*prompts[0])
        rig.forget()
        rig.answer(prompt, sampling, ADAPTIVE)
        with NativeClock() as clock:
            answer = rig.answer(prompt, sampling, ADAPTIVE)
        shares.append(1 - clock.seconds / answer.stats.decode_s)
    return median(shares)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes that a process of its own takes from before its models are loaded to after an answer.

    One answered plain, one drafted. The interpreter and its libraries are there before, so they
    are left out; all else that is held counts: the draft, both models' buffers, what we note down.
    """

    weights_bytes: int
    cache_bytes: int
    plain_bytes: int
    adaptive_bytes: int

    @property
    def overhead(self) -> float:
        """All that is held beyond the target's weights and cache, the draft included, over them."""
        return self._beyond(self.adaptive_bytes)

    @property
    def plain_overhead(self) -> float:
        """What plain decoding holds beyond them: the target's buffers."""
        return self._beyond(self.plain_bytes)

    def as_dict(self) -> dict[str, float]:
        """Return the figures for JSON."""
        return {**asdict(self), "plain_overhead": self.plain_overhead}

    def _beyond(self, held_bytes: int) -> float:
        needed_bytes = self.weights_bytes + self.cache_bytes
        return max(0.0, held_bytes / needed_bytes - 1)


def measure_memory(target: Path, draft: Path | None, options: ModelOptions) -> MemoryUse | None:
    """Let two processes answer, one after the other, and ask them what they hold.

    Files are read, not mapped: of a mapped one, weights that are laid out anew are held twice,
    though the system can take the pages of the file back. None on a GPU, which does not say what
    it holds.
    """
    if has_gpu():
        return None
    header = read_header(target)
    options = options.model_copy(update={"use_mmap": False})
    return MemoryUse(
        weights_bytes=header.size_bytes,
        cache_bytes=estimate_cache_bytes(header, options.context_tokens, options.cache_type),
        plain_bytes=_in_own_process(target, None, options, PLAIN),
        adaptive_bytes=_in_own_process(target, draft, options, ADAPTIVE),
    )


def _in_own_process(target: Path, draft: Path | None, options: ModelOptions, way: Way) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_taken_to_answer, target, draft, options, way).result()


def _taken_to_answer(target: Path, draft: Path | None, options: ModelOptions, way: Way) -> int:
    before_bytes = resident_bytes()
    with Rig(target, draft, options) as rig:
        rig.calibrate()
        prompt = rig.encode(QUESTION)
        rig.answer(prompt, SamplingParams(temperature=0, max_tokens=TOKENS), way)
        return resident_bytes() - before_bytes
