"""Which model files the worker gets to see: known by name, sound, and tried out in a child."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config import AUTO, LOOKUP, ModelOptions, Settings
from utils.draft_models import (
    EMBEDDED_DRAFT,
    EMBEDDED_TARGET,
    find_target,
    resolve_draft,
    target_options,
)
from utils.draft_ranking import RankedDraft, missed_draft, rank_drafts
from utils.draft_speeds import note_speed, speeds_file
from utils.engine.calibration import costs_file
from utils.engine.protocol import DraftChoice, Generate
from utils.errors import ModelError, ModelLoadError, RequestError
from utils.llama.probe import probe_folder, probe_model
from utils.performance_monitor import GenerationStats

EMBEDDED_PAIR = {EMBEDDED_TARGET, EMBEDDED_DRAFT}


@dataclass(frozen=True, slots=True)
class TargetFile:
    """A target that may be loaded: its name, its file, how it is opened, and where its costs are
    kept, and how fast answers were with each draft.
    """

    name: str
    path: Path
    options: ModelOptions
    costs: Path
    speeds: Path


class Admission:
    """Looks names up among the installed models; blocks while a new file is tried out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admitted: set[tuple[Path, int, int]] = set()
        self._taken: dict[str, str] = {}

    def find_target(self, name: str) -> TargetFile:
        """Return the file of a target, or raise `UnknownModelError` or `ModelError`."""
        target = find_target(name, self._settings)
        try:
            self._try_out(target.path)
        except ModelLoadError as error:
            raise ModelLoadError(target.called_by_name(str(error))) from error
        options = target_options(target, self._settings)
        costs = costs_file(target.path, options, self._settings)
        speeds = speeds_file(target.path, options, self._settings)
        return TargetFile(target.name, target.path, options, costs, speeds)

    def find_draft(self, name: str, target: str, *, has_gpu: bool = False) -> DraftChoice:
        """Return the drafter called `name`, with the reason if its model cannot be used.

        `auto` is the one that suits the `target` best, which is loaded; `has_gpu` tells that its
        memory is not that of the machine.
        """
        if name == AUTO:
            return self._best_draft(target, has_gpu=has_gpu)
        if name == LOOKUP:
            return DraftChoice(kind="lookup", name=LOOKUP)
        try:
            path = resolve_draft(name, self._settings)
            self._try_out(path)
        except (RequestError, ModelError) as error:
            return DraftChoice(kind="model", name=name, problem=str(error))
        return DraftChoice(kind="model", name=name, path=str(path))

    def note(self, target: TargetFile, request: Generate, stats: GenerationStats) -> None:
        """Keep how fast an answer by its draft was, where that was left to do what pays."""
        chosen, wish = request.draft, request.speculative
        is_free = wish.draft_length == "adaptive" and not wish.deterministic
        if is_free and (chosen.path or chosen.kind == "lookup"):
            note_speed(target.speeds, Path(chosen.path) if chosen.path else None, stats)

    def _best_draft(self, target: str, *, has_gpu: bool) -> DraftChoice:
        """Return the best draft that works; a lookup says which one there is no memory for."""
        try:
            drafts = rank_drafts(target, self._settings, is_loaded=True, has_gpu=has_gpu)
        except (RequestError, ModelError):
            return DraftChoice(kind="lookup", name=LOOKUP)
        missed = missed_draft(drafts)
        problem = f"draft {missed.name} {missed.sentence}" if missed else ""
        # The one that is open takes no more memory than it has.
        drafts.sort(key=lambda draft: not self._is_open(draft, target))
        for draft in drafts:
            if draft.name == LOOKUP or not (draft.is_usable or self._is_open(draft, target)):
                break
            choice = self.find_draft(draft.name, target)
            if not choice.problem:
                self._taken[target] = draft.name
                return choice
        return DraftChoice(kind="lookup", name=LOOKUP, problem=problem)

    def _is_open(self, draft: RankedDraft, target: str) -> bool:
        return draft.verdict == "too large" and draft.name == self._taken.get(target)

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
        verdict = probe_model(
            path,
            timeout_s=self._settings.load_timeout_s,
            cache_folder=probe_folder(self._settings),
        )
        if not verdict.usable:
            raise ModelLoadError(verdict.reason)
        self._admitted.add(version)
