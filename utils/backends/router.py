"""Who answers with a model: the engine where it can read the file, Ollama where it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from config import EMBEDDED, SamplingParams, Settings, SpeculativeConfig
from utils.backends.fallback import FallbackBackend
from utils.backends.local import LocalBackend
from utils.backends.ollama import OllamaClient
from utils.backends.ollama_backend import OllamaBackend
from utils.backends.ollama_prompt import OllamaPrompt
from utils.backends.protocol import (
    NOTHING_WRITTEN,
    TARGET_OF_SETTINGS,
    Backend,
    ModelChoice,
    Written,
)
from utils.draft_models import InstalledModel, find_installed, installed_models, target_options
from utils.engine.client import EngineClient
from utils.engine.protocol import ChatMessage, Inspected
from utils.errors import RequestError, UnknownModelError
from utils.events import Event
from utils.llama.probe import kept_verdict, probe_folder


@dataclass(frozen=True, slots=True)
class Route:
    """The backends that are tried in order, and why the first of them is the first.

    `system` is for a conversation without a system prompt; `draft` replaces the chosen draft.
    """

    backends: tuple[Backend, ...]
    reason: str = ""
    system: str = ""
    draft: str = ""


class AnswerRouter:
    """Answers with any model there is: drafting, without drafting, or with Ollama."""

    def __init__(self, settings: Settings, engine: EngineClient, ollama: OllamaClient) -> None:
        self._settings = settings
        self._engine = engine
        self._ollama = ollama

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: SamplingParams,
        speculative: SpeculativeConfig,
        model: ModelChoice = TARGET_OF_SETTINGS,
        owner: str = "",
        written: Written = NOTHING_WRITTEN,
        drop_oldest: bool = False,
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer, or of what follows on `written`.

        `drop_oldest` leaves out the oldest messages where not all fit in the context. Raises as
        `FallbackBackend.generate`.
        """
        route = await asyncio.to_thread(self.route, model, drop_oldest=drop_oldest)
        if route.draft:
            speculative = speculative.model_copy(update={"draft_model": route.draft})
        events = FallbackBackend(route.backends, reason=route.reason).generate(
            _with_system(messages, route.system),
            sampling=sampling,
            speculative=speculative,
            owner=owner,
            written=written,
        )
        async with aclosing(events):
            async for event in events:
                yield event

    async def inspect(
        self,
        messages: Sequence[ChatMessage],
        *,
        written_ids: Sequence[int],
        candidates: Sequence[int],
        model: ModelChoice = TARGET_OF_SETTINGS,
        owner: str = "",
        dropped_messages: int = 0,
    ) -> Inspected:
        """Look at one position of an answer as it was asked for here; see `EngineClient.inspect`.

        Raises `RequestError` too for a model that only Ollama can read.
        """
        route = await asyncio.to_thread(self.route, model)
        local = next((each for each in route.backends if isinstance(each, LocalBackend)), None)
        if local is None:
            raise RequestError(f"the answer cannot be looked at: {route.reason}")
        return await local.inspect(
            _with_system(messages, route.system),
            written_ids=written_ids,
            candidates=candidates,
            owner=owner,
            dropped_messages=dropped_messages,
        )

    def route(self, model: ModelChoice, *, drop_oldest: bool = False) -> Route:
        """Decide who answers; reads files."""
        name = model.name or self._settings.target_model
        file = self._find(name)
        if file is None and not model.name:
            stand_in = self.route(ModelChoice(EMBEDDED), drop_oldest=drop_oldest)
            return replace(stand_in, reason=f"{name} is not installed", draft=EMBEDDED)
        ollama = self._ollama_backend(name, file)
        system = file.modelfile.system if file and file.modelfile else ""
        if ollama and (problem := self._problem(file)):
            return Route((ollama,), f"cannot speculate: {problem}", system)
        render = OllamaPrompt(self._ollama, name).render if file and file.modelfile else None
        drafting, plain = (
            LocalBackend(
                self._engine,
                target=file.name if file else name,
                drafts=drafts,
                render=render,
                drop_oldest=drop_oldest,
            )
            for drafts in (True, False)
        )
        if ollama and model.backend == "ollama":
            return Route((ollama, plain), "chosen for this model", system)
        return Route((drafting, plain, ollama) if ollama else (drafting, plain), system=system)

    def _find(self, name: str) -> InstalledModel | None:
        try:
            return find_installed(name, installed_models(self._settings))
        except UnknownModelError:
            return None

    def _ollama_backend(self, name: str, file: InstalledModel | None) -> OllamaBackend | None:
        """Return Ollama with the model itself, or else with the one of the settings.

        It gets the context of the engine, so that it forgets nothing that the engine knew.
        """
        if file is None:
            return OllamaBackend(self._ollama, name)
        context_tokens = target_options(file, self._settings).context_tokens
        if file.modelfile is None:
            name = self._settings.ollama_model
        return OllamaBackend(self._ollama, name, context_tokens=context_tokens) if name else None

    def _problem(self, file: InstalledModel | None) -> str:
        if file is None:
            return "its file is not on this machine"
        if file.header is None:
            return file.reason
        verdict = kept_verdict(file.path, probe_folder(self._settings))
        return file.called_by_name(verdict.reason) if verdict and not verdict.usable else ""


def _with_system(messages: Sequence[ChatMessage], system: str) -> Sequence[ChatMessage]:
    if not system.strip() or any(message.role == "system" for message in messages):
        return messages
    return (ChatMessage(role="system", content=system), *messages)
