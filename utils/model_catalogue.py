"""All models there are, for lists and choices: files on this machine, and what Ollama tells."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from config import EMBEDDED, Settings
from utils.backends.modelfile import ModelDefaults, model_defaults, parse_modelfile
from utils.backends.ollama import OllamaClient
from utils.backends.ollama_records import OllamaModel, OllamaModelDetails, RunningModel
from utils.draft_models import InstalledModel, installed_models, target_options
from utils.errors import BackendError
from utils.llama.gguf_header import estimate_memory_bytes
from utils.llama.probe import kept_verdict, probe_folder

Source = Literal["embedded", "folder", "ollama"]
Fitness = Literal["usable", "untried", "unusable"]
ASKED_AT_ONCE = 4
# A server that hangs must not keep the files of this machine from being listed.
ASK_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model. `fitness` says whether the engine can use it, and `reason` why it cannot.

    `defaults` are what its Modelfile says, None where it has none. A model that only a remote
    Ollama has no file here: its numbers are those that Ollama tells. `needed_bytes` is about what
    memory it takes in the engine with its context, 0 where nobody can tell.
    """

    name: str
    source: Source
    size_bytes: int
    quantization: str
    parameters: str
    trained_context: int
    fitness: Fitness
    reason: str = ""
    path: str = ""
    needed_bytes: int = 0
    is_in_ollama: bool = False
    capabilities: tuple[str, ...] = ()
    defaults: ModelDefaults | None = None
    running: RunningModel | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models at one moment; `ollama_problem` says why Ollama told nothing."""

    entries: tuple[CatalogueEntry, ...] = ()
    ollama_version: str = ""
    ollama_problem: str = ""
    running: tuple[RunningModel, ...] = ()
    read_at: float = 0.0

    def find(self, name: str) -> CatalogueEntry | None:
        """Return the entry of that name, with its tag or without."""
        for entry in self.entries:
            if name in (entry.name, entry.name.removesuffix(":latest")):
                return entry
        return None


@dataclass(frozen=True, slots=True)
class _Told:
    """What Ollama says of itself and its models."""

    version: str = ""
    problem: str = ""
    models: tuple[OllamaModel, ...] = ()
    running: tuple[RunningModel, ...] = ()
    details: dict[tuple[str, str], OllamaModelDetails] = field(default_factory=dict)


class ModelCatalogue:
    """Keeps the newest catalogue; `current` may be read from any thread."""

    def __init__(self, settings: Settings, ollama: OllamaClient) -> None:
        self.current = Catalogue()
        self._settings = settings
        self._ollama = ollama
        self._details: dict[tuple[str, str], OllamaModelDetails] = {}
        self._lock = asyncio.Lock()

    async def refresh(self, *, max_age_s: float = 0.0) -> Catalogue:
        """Read everything again, unless it is newer than `max_age_s`; raises nothing."""
        async with self._lock:
            is_new = monotonic() - self.current.read_at <= max_age_s
            if not self.current.read_at or not is_new:
                told = await self._ask()
                self.current = await asyncio.to_thread(_read, self._settings, told)
            return self.current

    async def _ask(self) -> _Told:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                version, models, running = await asyncio.gather(
                    self._ollama.version(), self._ollama.list(), self._ollama.ps()
                )
        except BackendError as error:
            return _Told(problem=str(error))
        except TimeoutError:
            late = f"Ollama at {self._ollama.url} does not answer: restart it, then ask again"
            return _Told(problem=late)
        known = {(model.name, model.digest) for model in models}
        self._details = {key: told for key, told in self._details.items() if key in known}
        limit = asyncio.Semaphore(ASKED_AT_ONCE)
        await asyncio.gather(*(self._learn(key, limit) for key in known - set(self._details)))
        return _Told(version, "", models, running, dict(self._details))

    async def _learn(self, key: tuple[str, str], limit: asyncio.Semaphore) -> None:
        async with limit:
            try:
                async with asyncio.timeout(ASK_TIMEOUT_S):
                    self._details[key] = await self._ollama.show(key[0])
            except (BackendError, TimeoutError):
                # Its lines stay empty, and it is asked again next time.
                return


def _read(settings: Settings, told: _Told) -> Catalogue:
    installed = installed_models(settings)
    listed = {model.name: model for model in told.models}
    running = {model.name: model for model in told.running}
    entries = [
        _of_file(model, settings, told, listed.pop(model.name, None), running.get(model.name))
        for model in installed
    ]
    entries += [
        _of_server(model, settings, told, running.get(model.name)) for model in listed.values()
    ]
    return Catalogue(
        entries=tuple(sorted(entries, key=_order)),
        ollama_version=told.version,
        ollama_problem=told.problem,
        running=told.running,
        read_at=monotonic(),
    )


def _order(entry: CatalogueEntry) -> tuple[int, list[str]]:
    return ("embedded", "ollama", "folder").index(entry.source), entry.name.split(":")


def _of_file(
    model: InstalledModel,
    settings: Settings,
    told: _Told,
    listed: OllamaModel | None,
    running: RunningModel | None,
) -> CatalogueEntry:
    header = model.header
    details = told.details.get((listed.name, listed.digest)) if listed else None
    fitness, reason = _fitness(model, settings)
    return CatalogueEntry(
        name=model.name,
        source=_source(model),
        size_bytes=header.size_bytes if header else (listed.size_bytes if listed else 0),
        quantization=header.quantization if header else (listed.quantization if listed else ""),
        parameters=_count(header.parameters) if header else (listed.parameters if listed else ""),
        trained_context=header.trained_context if header else 0,
        fitness=fitness,
        reason=reason,
        path=str(model.path) if header else "",
        needed_bytes=_needed_bytes(model, settings),
        is_in_ollama=listed is not None,
        capabilities=details.capabilities if details else (),
        defaults=model_defaults(model.modelfile, settings.sampling) if model.modelfile else None,
        running=running,
    )


def _of_server(
    model: OllamaModel, settings: Settings, told: _Told, running: RunningModel | None
) -> CatalogueEntry:
    details = told.details.get((model.name, model.digest))
    modelfile = parse_modelfile(details.modelfile) if details else None
    return CatalogueEntry(
        name=model.name,
        source="ollama",
        size_bytes=model.size_bytes,
        quantization=model.quantization,
        parameters=model.parameters,
        trained_context=details.trained_context if details else 0,
        fitness="unusable",
        reason=f"its file is not on this machine, only in Ollama at {settings.ollama_url}",
        is_in_ollama=True,
        capabilities=details.capabilities if details else (),
        defaults=model_defaults(modelfile, settings.sampling) if modelfile else None,
        running=running,
    )


def _needed_bytes(model: InstalledModel, settings: Settings) -> int:
    if model.header is None:
        return 0
    options = target_options(model, settings)
    return estimate_memory_bytes(model.header, options.context_tokens, options.cache_type)


def _source(model: InstalledModel) -> Source:
    if model.name == EMBEDDED:
        return "embedded"
    return "folder" if model.modelfile is None else "ollama"


def _fitness(model: InstalledModel, settings: Settings) -> tuple[Fitness, str]:
    if model.header is None:
        return "unusable", model.reason
    if model.name == EMBEDDED:
        return "usable", ""
    verdict = kept_verdict(model.path, probe_folder(settings))
    if verdict is None:
        return "untried", ""
    return ("usable", "") if verdict.usable else ("unusable", model.called_by_name(verdict.reason))


def _count(parameters: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if parameters >= size:
            return f"{parameters / size:.3g}{unit}"
    return str(parameters)
