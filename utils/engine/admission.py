"""Which model files the worker gets to see: known by name, sound, and tried out in a child."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from config import LOOKUP, ModelOptions, Settings
from utils.draft_models import (
    EMBEDDED_DRAFT,
    EMBEDDED_TARGET,
    find_target,
    resolve_draft,
    target_options,
)
from utils.engine.protocol import DraftChoice
from utils.errors import ModelError, ModelLoadError, RequestError
from utils.llama.probe import entry_of, probe_folder, probe_model

EMBEDDED_PAIR = {EMBEDDED_TARGET, EMBEDDED_DRAFT}


@dataclass(frozen=True, slots=True)
class TargetFile:
    """A target that may be loaded: its name, its file, how it is opened, and where its costs are
    kept.
    """

    name: str
    path: Path
    options: ModelOptions
    costs: Path


class Admission:
    """Looks names up among the installed models; blocks while a new file is tried out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admitted: set[tuple[Path, int, int]] = set()

    def find_target(self, name: str) -> TargetFile:
        """Return the file of a target, or raise `UnknownModelError` or `ModelError`."""
        target = find_target(name, self._settings)
        try:
            self._try_out(target.path)
        except ModelLoadError as error:
            raise ModelLoadError(target.called_by_name(str(error))) from error
        options = target_options(target, self._settings)
        folder = self._settings.cache_folder / "costs"
        costs = entry_of(target.path, folder, options.model_dump(), os.cpu_count())
        return TargetFile(target.name, target.path, options, costs)

    def find_draft(self, name: str) -> DraftChoice:
        """Return the drafter called `name`, with the reason if its model cannot be used."""
        if name == LOOKUP:
            return DraftChoice(kind="lookup", name=LOOKUP)
        try:
            path = resolve_draft(name, self._settings)
            self._try_out(path)
        except (RequestError, ModelError) as error:
            return DraftChoice(kind="model", name=name, problem=str(error))
        return DraftChoice(kind="model", name=name, path=str(path))

    def _try_out(self, path: Path) -> None:
        """Have a child load the file, once for each version of it."""
        if path in EMBEDDED_PAIR:
            return
        try:
            status = path.stat()
        except OSError as error:
            raise ModelLoadError(f"model file cannot be opened: {path.name!r}") from error
        version = (path, status.st_size, status.st_mtime_ns)
        if version in self._admitted:
            return
        verdict = probe_model(path, cache_folder=probe_folder(self._settings))
        if not verdict.usable:
            raise ModelLoadError(verdict.reason)
        self._admitted.add(version)
