"""The real worker with one thing that goes wrong in it, again in each that is started.

`python -m tests.engine.faulty_worker FAULT STAGE AFTER`: nothing happens in the first AFTER passes
of the stage. Passes while a model is loaded count for no stage but that of loading.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np

from utils.drafters.model_drafter import ModelDrafter
from utils.engine import worker
from utils.engine.engine import Engine
from utils.events import Event
from utils.llama.library import native
from utils.llama.model import LlamaModel
from utils.llama.session import LlamaSession
from utils.model_session import FloatArray
from utils.token_validator import Draft

Stage = Literal["load", "draft load", "prefill", "draft", "verify"]
Fault = Literal[
    "killed",
    "aborted",
    "invalid numbers",
    "no memory",
    "no memory for Python",
    "stopped",
    "hangs",
    "hangs with the interpreter",
]
STAGES: tuple[Stage, ...] = get_args(Stage)
FAULTS: tuple[Fault, ...] = get_args(Fault)
NO_MEMORY = -2
LITTLE_BYTES = 4 * 2**20

_decode, _propose, _generate = LlamaSession.decode, ModelDrafter.propose, Engine.generate
_open = LlamaModel.open.__func__
_llama_decode = native.llama_decode


class Injection:
    """Counts the passes of its stage, and strikes."""

    def __init__(self, fault: Fault, stage: Stage, after: int) -> None:
        self._fault = fault
        self._stage = stage
        self._passes_left = after
        self._is_answering = self._is_drafting = False
        self._sick: LlamaSession | None = None

    def install(self) -> None:
        """Put itself around what the worker calls."""
        LlamaSession.decode = lambda *args, **rows: self.decode(*args, **rows)
        ModelDrafter.propose = lambda *args: self.propose(*args)
        Engine.generate = lambda *args: self.generate(*args)
        LlamaModel.open = lambda *args, **options: self.open(*args, **options)

    async def generate(self, *args: Any) -> AsyncGenerator[Event, None]:
        self._is_answering = True
        try:
            async for event in _generate(*args):
                yield event
        finally:
            self._is_answering = False

    def propose(self, *args: Any) -> Draft:
        self._is_drafting = True
        try:
            return _propose(*args)
        finally:
            self._is_drafting = False

    def open(self, *args: Any, **options: Any) -> LlamaModel:
        if self._is_due("draft load" if self._is_answering else "load"):
            self._strike()
        model: LlamaModel = _open(LlamaModel, *args, **options)
        return model

    def decode(
        self, session: LlamaSession, token_ids: Sequence[int], *, rows: int, width: int = 0
    ) -> FloatArray:
        stage: Stage = "draft" if self._is_drafting else "verify" if rows else "prefill"
        if self._is_answering and self._is_due(stage):
            if self._fault == "invalid numbers":
                self._sick = session
            else:
                native.llama_decode = self._strike
        try:
            logits = _decode(session, token_ids, rows=rows, width=width)
        finally:
            native.llama_decode = _llama_decode
        return np.full_like(logits, np.nan) if session is self._sick else logits

    def _is_due(self, stage: Stage) -> bool:
        if stage != self._stage:
            return False
        self._passes_left -= 1
        return self._passes_left < 0

    def _strike(self, *_: Any) -> int:
        """Do what llama.cpp would do in its stead; return its code if it returns."""
        wait: dict[str, Callable[[], int]] = {
            "hangs": ctypes.CDLL(None).pause,
            "hangs with the interpreter": ctypes.PyDLL(None).pause,
        }
        match self._fault:
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "aborted":
                os.abort()
            case "no memory for Python":
                raise MemoryError
            case "no memory" if self._stage in ("load", "draft load"):
                _take_all_memory()
            case "hangs" | "hangs with the interpreter":
                while True:
                    wait[self._fault]()
        return NO_MEMORY


def _take_all_memory() -> None:
    """Leave this process next to nothing of its address space."""
    with open("/proc/self/statm") as file:
        held_bytes = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held_bytes + LITTLE_BYTES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    fault, stage, after = sys.argv[1:]
    if fault not in FAULTS or stage not in STAGES:
        raise SystemExit(f"unknown fault or stage: {fault!r}, {stage!r}")
    Injection(fault, stage, int(after)).install()
    worker.main()
