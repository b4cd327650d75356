"""Models that are tried out because somebody asked: one after the other, in the probe child."""

from __future__ import annotations

import asyncio
import threading
from functools import cache
from pathlib import Path

from config import Settings
from utils.engine.runtime import EngineRuntime
from utils.llama.probe import probe_folder, probe_model
from utils.model_catalogue import CatalogueEntry


class TrialBoard:
    """The trials of this process, by name of the model; methods may be called from any thread."""

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()

    def start(self, model: CatalogueEntry, settings: Settings, runtime: EngineRuntime) -> None:
        """Have a model tried out, once at a time; the catalogue tells what came of it."""
        with self._lock:
            if model.name in self._running:
                return
            self._running.add(model.name)
            self._reasons.pop(model.name, None)
        runtime.thread.call(self._try(model, settings, runtime))

    def is_running(self, name: str) -> bool:
        """Tell whether a model is being tried, or waits for that."""
        return name in self._running

    def reason(self, name: str) -> str:
        """Return why the last trial of a model told nothing for good; empty where it did."""
        return self._reasons.get(name, "")

    async def _try(self, model: CatalogueEntry, settings: Settings, runtime: EngineRuntime) -> None:
        try:
            async with self._turn:
                verdict = await asyncio.to_thread(
                    probe_model, Path(model.path), cache_folder=probe_folder(settings)
                )
            self._reasons[model.name] = verdict.reason
            await runtime.catalogue.refresh()
        finally:
            self._running.discard(model.name)


@cache
def get_trials() -> TrialBoard:
    """Return the board of this process."""
    return TrialBoard()
