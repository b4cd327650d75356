"""Transformers as a peer, where torch is installed: `generate`, plain and with the draft's help.

It reads the same GGUF files and gets the same token ids, but computes with numbers of 32 or 16
bits whatever the file holds, and applies the temperature before it cuts off unlikely tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.rig import PLAIN, Rig
from config import SamplingParams
from utils.engine.calibration import QUESTION
from utils.engine.memory import available_bytes
from utils.llama.library import has_gpu
from utils.performance_monitor import ratio
from utils.sizes import size

NEEDED = ("torch", "transformers", "accelerate", "gguf")
NUMBERS = ("float32", "bfloat16")
# The second rounds what most files hold: it has to be worth it.
WORTH = 1.1
# A parameter takes 32 bits, and twice that while it is loaded.
BYTES_PER_PARAMETER = 8
TRIAL = SamplingParams(temperature=0, max_tokens=32, seed=1)
# It computes on this where it has no GPU.
PROCESSOR = "cpu"
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Assistance:
    """How much the draft writes in a round: so many tokens at most, while it is that sure."""

    tokens: int
    confidence: float

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"assisted n {self.tokens}, p {self.confidence:g}"


# The first is what Transformers does untold, the other a usual fixed length.
ASSISTANCES = (Assistance(20, 0.4), Assistance(5, 0))


class Generation:
    """`generate` of one model, alone or with another as its assistant."""

    def __init__(
        self,
        name: str,
        model: Any,
        ends: Sequence[int],
        assistant: tuple[Any, Assistance] | None = None,
    ) -> None:
        self.name = name
        self.on_gpu = getattr(getattr(model, "device", None), "type", PROCESSOR) != PROCESSOR
        self._model = model
        self._ends = list(ends)
        self._assistant = assistant

    def tokens_per_second(self, prompt: Sequence[int], sampling: SamplingParams) -> float:
        """Answer from an empty cache, and return the rate after the first token.

        An assisted answer has no moment at which the first token is there: what plain decoding
        takes for it is timed before, and taken off.
        """
        begin = perf_counter()
        self._generate(prompt, sampling.model_copy(update={"max_tokens": 1}))
        middle = perf_counter()
        count = len(self.answer(prompt, sampling))
        first_s, answer_s = middle - begin, perf_counter() - middle
        return ratio(count - 1, answer_s - first_s)

    def answer(self, prompt: Sequence[int], sampling: SamplingParams) -> tuple[int, ...]:
        """Return the tokens of an answer, its end included."""
        if self._assistant is None:
            return self._generate(prompt, sampling)
        model, assistance = self._assistant
        model.generation_config.num_assistant_tokens = assistance.tokens
        model.generation_config.num_assistant_tokens_schedule = "constant"
        model.generation_config.assistant_confidence_threshold = assistance.confidence
        return self._generate(prompt, sampling, assistant_model=model)

    def _generate(
        self, prompt: Sequence[int], sampling: SamplingParams, **assistant: Any
    ) -> tuple[int, ...]:
        import torch
        from transformers import GenerationConfig

        torch.manual_seed(sampling.seed or 0)
        prompt_ids = torch.tensor([list(prompt)], device=self._model.device)
        config = GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            eos_token_id=self._ends or None,
            pad_token_id=self._ends[0] if self._ends else 0,
            **choosing(sampling),
        )
        token_ids = self._model.generate(
            prompt_ids,
            attention_mask=torch.ones_like(prompt_ids),
            generation_config=config,
            **assistant,
        )
        return tuple(token_ids[0, len(prompt) :].tolist())


def transformers_engines(
    rig: Rig, tell: Tell = lambda _line: None
) -> tuple[list[Generation], list[str]]:
    """Return `generate` in all settings, none where it cannot be had, and what to know of it."""
    problem = missing() or too_large(rig, available_bytes())
    if problem:
        return [], [f"assisted generation was not measured: {problem}"]
    tell("starting Transformers")
    try:
        return _faster(rig)
    except Exception as error:  # whatever Transformers does not read or run
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        return [], [f"assisted generation was not measured: Transformers ended with {reason}"]


def place(torch: Any) -> str:
    """Return what torch is to compute on: a GPU where ours is used, and where it has one."""
    if not has_gpu():
        return PROCESSOR
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else PROCESSOR


def missing() -> str:
    """Say which packages there are not, if any."""
    names = [name for name in NEEDED if find_spec(name) is None]
    return f"{' and '.join(names)} not installed" if names else ""


def too_large(rig: Rig, free_bytes: int | None) -> str:
    """Say that both models do not fit in memory with numbers of 32 bits, if so."""
    headers = [model.header for model in (rig.target, rig.draft) if model is not None]
    needed_bytes = BYTES_PER_PARAMETER * sum(header.parameters for header in headers)
    if free_bytes is None or needed_bytes < free_bytes:
        return ""
    return f"it takes about {size(needed_bytes)} of memory, {size(free_bytes)} are free"


def choosing(sampling: SamplingParams) -> dict[str, Any]:
    """Return how tokens are chosen, in the words of Transformers."""
    if sampling.is_greedy:
        return {"do_sample": False}
    return {
        "do_sample": True,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p or None,
    }


def same_tokens(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two answers begin with alike."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _faster(rig: Rig) -> tuple[list[Generation], list[str]]:
    """Answer the trial question with both kinds of numbers, and keep what was faster."""
    import torch

    torch.set_num_threads(rig.target.info.threads)
    prompt = rig.encode(QUESTION)[: rig.target.session.n_ctx // 2]
    kept: list[Generation] = []
    kept_rate = 0.0
    for numbers in NUMBERS:
        engines = _load_engines(rig, numbers)
        for engine in engines:
            engine.answer(prompt, TRIAL)
        rate = max(engine.tokens_per_second(prompt, TRIAL) for engine in engines)
        if not kept or rate > WORTH * kept_rate:
            kept, kept_rate = engines, rate
    notes = [_trial_note(rig, prompt, kept[0])]
    if rig.draft is not None and len(kept) == 1:
        notes.append("assisted generation was not measured: the draft has another vocabulary")
    return kept, notes


def _load_engines(rig: Rig, numbers: str) -> list[Generation]:
    vocabulary, header = rig.target.vocabulary, rig.target.header
    ends = [token_id for token_id in range(vocabulary.size) if vocabulary.is_end(token_id)]
    name = f"Transformers {numbers}"
    target = _load(header.path, numbers)
    engines = [Generation(f"{name}, plain", target, ends)]
    if rig.draft is not None and rig.draft.header.vocabulary.tokens == header.vocabulary.tokens:
        draft = _load(rig.draft.header.path, numbers)
        for assistance in ASSISTANCES:
            pair = (draft, assistance)
            engines.append(Generation(f"{name}, {assistance.name}", target, ends, pair))
    return engines


def _load(path: Path, numbers: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=getattr(torch, numbers), local_files_only=True
    )
    return model.to(place(torch)).eval()


def _trial_note(rig: Rig, prompt: Sequence[int], engine: Generation) -> str:
    """Say what numbers are computed with, and whether they say what we say."""
    rig.forget()
    ours = rig.answer(prompt, TRIAL, PLAIN).token_ids
    same = same_tokens(ours, engine.answer(prompt, TRIAL))
    name = engine.name.partition(",")[0]
    return (
        f"{name}: of {' and '.join(NUMBERS)} what is faster here; "
        f"{same} of {len(ours)} greedy tokens on trial as ours"
    )
