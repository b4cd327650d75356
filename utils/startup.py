"""Start-up: the target is loaded, and what the settings name and nobody has is pulled meanwhile.

While the target itself has to be pulled, the embedded one answers in its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from config import EMBEDDED, OWN_NAMES, Settings
from utils.backends.ollama import OllamaClient
from utils.draft_models import EMBEDDED_TARGET, installed_models
from utils.engine.client import EngineClient
from utils.errors import BackendError, SpecChatError, UnknownModelError
from utils.model_names import full_name, is_file_name
from utils.model_store import ModelStore
from utils.pulls import PullBoard, PullJob, PullSnapshot

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
LIST_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StartupSnapshot:
    """How far start-up is.

    `pulls` are those of models that the settings name. `target` is the wanted one while the
    embedded one answers in its place, else empty; `problem` says why it cannot be loaded.
    """

    is_decided: bool = True
    pulls: tuple[PullSnapshot, ...] = ()
    target: str = ""
    problem: str = ""

    @property
    def awaited(self) -> tuple[PullSnapshot, ...]:
        """The pulls that are not done, failed ones among them; who cancels one gives it up."""
        return tuple(pull for pull in self.pulls if pull.state not in ("done", "cancelled"))

    @property
    def is_complete(self) -> bool:
        """True once all that the settings name is there, and the target is loaded."""
        return self.is_decided and not self.awaited and not self.target


class Startup:
    """What happens once, when the app starts; belongs to the loop of the engine."""

    def __init__(
        self,
        settings: Settings,
        client: EngineClient,
        ollama: OllamaClient,
        board: PullBoard,
        *,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`pause` waits so many seconds before a failed pull is tried again."""
        self._settings = settings
        self._client = client
        self._ollama = ollama
        self._board = board
        self._pause = pause
        self._jobs: dict[str, PullJob] = {}
        self._is_decided = True
        self._target = ""
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    def snapshot(self) -> StartupSnapshot:
        """Return how far it is; safe from any thread."""
        jobs = tuple(self._jobs.items())
        return StartupSnapshot(
            is_decided=self._is_decided,
            pulls=tuple((self._board.find(name) or job).snapshot() for name, job in jobs),
            target=self._target if self._stands_in() else "",
            problem=self._problem,
        )

    async def run(self) -> None:
        """Load the target and pull what is missing; what goes wrong shows in the snapshots."""
        self._task = asyncio.current_task()
        self._is_decided = not missing_models(self._settings, files=(), on_ollama=())
        try:
            await self._run()
        except Exception:
            logger.exception("start-up failed")
        finally:
            self._is_decided = True

    def close(self) -> None:
        """Wait for nothing any more; what is being pulled is left to the board."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        files = await asyncio.to_thread(_files, self._settings)
        named = missing_models(self._settings, files=files, on_ollama=())
        target = _full_name(self._settings.target_model)
        if target in named:
            self._target = self._settings.target_model
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(self._client.open(EMBEDDED if self._target else None))
            missing = named and missing_models(
                self._settings, files=files, on_ollama=await self._on_ollama()
            )
            self._jobs = {name: self._board.start(name) for name in missing}
            self._is_decided = True
            pulls = {name: tasks.create_task(self._obtain(name)) for name in missing}
            if self._target:
                await opening
                if target not in pulls or await pulls[target]:
                    await self._load_target()

    async def _on_ollama(self) -> Sequence[str]:
        """Return what Ollama lists; where it does not tell, what it keeps on this machine."""
        if (listed := await self._listed()) is not None:
            return listed
        return await asyncio.to_thread(ModelStore(self._settings).names)

    async def _listed(self) -> tuple[str, ...] | None:
        """Return what Ollama has, or None where it does not tell."""
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                return tuple(model.name for model in await self._ollama.list())
        except (BackendError, TimeoutError):
            return None

    async def _obtain(self, name: str) -> bool:
        """Pull a model until it is there; False where trying again does not help."""
        pause_s = FIRST_PAUSE_S
        while True:
            end = await self._jobs[name].finished()
            if not end.may_pass:
                break
            logger.warning("pull of %s failed, next try in %g s: %s", name, pause_s, end.error)
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if _key(name) in map(_key, await self._listed() or ()):
                del self._jobs[name]
                return True
            self._jobs[name] = self._board.start(name)
        if end.state == "cancelled" and name == _full_name(self._target):
            self._target = ""
        return end.state == "done"

    async def _load_target(self) -> None:
        """Load the wanted target, unless somebody has chosen another one meanwhile."""
        if self._stands_in():
            try:
                # The name it is listed by, so that nobody takes it for another one.
                await self._client.load(_full_name(self._target))
            except SpecChatError as error:
                logger.warning("target was pulled, but cannot be loaded: %s", error)
                self._problem = str(error)
                return
        self._target = ""

    def _stands_in(self) -> bool:
        model = self._client.health.model
        return model is None or Path(model.path) == EMBEDDED_TARGET


def missing_models(
    settings: Settings, *, files: Collection[str], on_ollama: Collection[str]
) -> tuple[str, ...]:
    """Return the full names of the models to pull, the target first.

    `files` names the models whose files are here, `on_ollama` those that Ollama lists.
    """
    listed = set(map(_key, on_ollama))
    here = listed | set(map(_key, files))
    wanted: list[tuple[str, set[str]]] = []
    if settings.pull_missing:
        chosen = (settings.target_model, settings.speculative.draft_model)
        wanted += [(name, here) for name in chosen if _may_be_pulled(name)]
        wanted.append((settings.ollama_model, listed))
    wanted += [(name, listed) for name in settings.pull_models]
    names = (_full_name(name) for name, there in wanted if _key(name) not in there)
    return tuple(name for name in dict.fromkeys(names) if name)


def _may_be_pulled(name: str) -> bool:
    """Tell whether Ollama could have it: a file comes from nowhere but a model folder."""
    return name not in OWN_NAMES and not is_file_name(name)


def _full_name(name: str) -> str:
    """Return the name with its tag, or nothing for what Ollama could not be asked for."""
    try:
        return full_name(name)
    except UnknownModelError:
        return ""


def _key(name: str) -> str:
    # Ollama knows its models in capitals and in small letters.
    return _full_name(name).casefold()


def _files(settings: Settings) -> tuple[str, ...]:
    return tuple(model.name for model in installed_models(settings))
