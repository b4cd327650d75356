"""The model that a session has chosen to answer, and its loading in the background."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from config import EMBEDDED, SamplingParams, Settings
from utils.backends.protocol import BackendName, ModelChoice
from utils.engine.health import EngineHealth
from utils.engine.runtime import EngineRuntime
from utils.errors import SpecChatError
from utils.model_catalogue import Catalogue, CatalogueEntry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """A model by name, as the catalogue knows it; `entry` is None where it does not.

    `ollama_problem` says why Ollama cannot answer now. `is_default`: the user has not chosen it.
    `is_gone`: the catalogue was read, and it is not there. `deputy` is the model of Ollama that
    answers for one that Ollama does not have, where the settings name one.
    """

    name: str
    backend: BackendName = "auto"
    entry: CatalogueEntry | None = None
    ollama_problem: str = ""
    is_default: bool = False
    is_gone: bool = False
    deputy: str = ""

    @property
    def is_of_ollama(self) -> bool:
        """True where Ollama has the model too, or had it when it last told."""
        return self.entry is not None and self.entry.source == "ollama"

    @property
    def answers_in_ollama(self) -> bool:
        """True where not the engine is to answer, but Ollama."""
        if self.entry is not None and self.entry.fitness == "unusable":
            return self.is_of_ollama or bool(self.deputy)
        return self.is_of_ollama and self.backend == "ollama"

    @property
    def problem(self) -> str:
        """Why nothing can be drafted for it; empty where that is possible."""
        if self.entry is not None and self.entry.fitness == "unusable":
            return self.entry.reason
        return "Ollama answers, which does not draft" if self.answers_in_ollama else ""

    @property
    def system(self) -> str:
        """The system prompt that it brings along."""
        return self.entry.defaults.system if self.entry and self.entry.defaults else ""

    def choice(self, settings: Settings) -> ModelChoice:
        """Return it as answers take it; one that only stands in for another leaves that open."""
        stands_in = self.is_default and self.name == EMBEDDED != settings.target_model
        return ModelChoice("" if stands_in else self.name, self.backend)

    def sampling(self, settings: Settings) -> SamplingParams:
        """Return its defaults: of its Modelfile, unless the settings name a value."""
        if self.entry is None or self.entry.defaults is None:
            return settings.sampling
        named = settings.sampling.model_dump(include=settings.sampling.model_fields_set)
        return self.entry.defaults.sampling.model_copy(update=named)

    def is_loaded(self, engine: EngineHealth) -> bool:
        """Tell whether the engine holds it."""
        return self.entry is not None and holds(engine, self.entry)


def holds(engine: EngineHealth, entry: CatalogueEntry) -> bool:
    """Tell whether the engine holds a model; several names may share one file."""
    return engine.live and engine.model is not None and engine.model.name == entry.name


def drafts_with(engine: EngineHealth, entry: CatalogueEntry) -> bool:
    """Tell whether a model is one of the drafts that the engine keeps open."""
    drafts = engine.stats.open_drafts if engine.live and engine.stats is not None else ()
    return any(draft.name == entry.name or draft.path == entry.path for draft in drafts)


def can_chat(entry: CatalogueEntry) -> bool:
    """Tell whether a model writes text, as far as its capabilities are known."""
    return not entry.capabilities or "completion" in entry.capabilities


def can_answer(entry: CatalogueEntry) -> bool:
    """Tell whether a model is one to choose: it can chat, and the engine or Ollama may run it."""
    return can_chat(entry) and (entry.fitness != "unusable" or entry.source == "ollama")


def default_name(catalogue: Catalogue, settings: Settings) -> str:
    """Return the target of the settings where it is there, else the embedded one."""
    entry = catalogue.find(settings.target_model)
    return entry.name if entry and can_chat(entry) else EMBEDDED


@dataclass(frozen=True, slots=True)
class Loading:
    """What became of the last target that a session had loaded."""

    name: str = ""
    is_running: bool = False
    error: str = ""


class TargetLoader:
    """Loads the newest target asked for, one at a time; methods may be called from any thread."""

    def __init__(self, runtime: EngineRuntime) -> None:
        self.state = Loading()
        self._runtime = runtime
        self._next: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def load(self, name: str, *, unload: str = "") -> None:
        """Have a target loaded soon; `unload` leaves Ollama's memory before."""
        with self._lock:
            self._next = name, unload
            if self.state.is_running:
                return
            self.state = Loading(name, is_running=True)
        self._runtime.thread.call(self._run())

    async def _run(self) -> None:
        error = ""
        while wanted := self._take(error):
            error = await self._load(*wanted)

    def _take(self, error: str) -> tuple[str, str] | None:
        """Return what is to be loaded next, or note what came of the last one."""
        with self._lock:
            wanted, self._next = self._next, None
            self.state = (
                Loading(wanted[0], is_running=True)
                if wanted
                else Loading(self.state.name, error=error)
            )
            return wanted

    async def _load(self, name: str, unload: str) -> str:
        """Load it, and return what went wrong."""
        try:
            if unload:
                await self._runtime.ollama.unload(unload)
            await self._runtime.client.load(name)
        except SpecChatError as error:
            return str(error)
        except Exception:
            logger.exception("loading of %s failed", name)
            return "the app failed while loading: see its log for the cause; choose it again"
        finally:
            # It may have been tried for the first time, or have left Ollama's memory.
            await self._runtime.catalogue.refresh()
        return ""
