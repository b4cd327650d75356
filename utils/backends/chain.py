"""The order in which this app answers: drafting, without drafting, Ollama."""

from __future__ import annotations

from config import Settings
from utils.backends.fallback import FallbackBackend
from utils.backends.local import LocalBackend
from utils.backends.ollama import OllamaClient
from utils.backends.ollama_backend import OllamaBackend
from utils.backends.protocol import Backend
from utils.engine.client import EngineClient


def answer_chain(
    settings: Settings, engine: EngineClient, ollama: OllamaClient, *, model: str = ""
) -> FallbackBackend:
    """Return the backends in order; Ollama is the last where `model` or the settings name one.

    It gets the context of the engine, so that it forgets nothing that the engine knew.
    """
    chain: list[Backend] = [LocalBackend(engine), LocalBackend(engine, drafts=False)]
    if name := model or settings.ollama_model:
        chain.append(OllamaBackend(ollama, name, context_tokens=settings.context_tokens))
    return FallbackBackend(chain)
