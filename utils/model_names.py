"""Names of Ollama's models: checked so that each is one place in a store, and back again."""

from __future__ import annotations

import re
from pathlib import Path

from utils.errors import UnknownModelError

DEFAULT_HOST = "registry.ollama.ai"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}", re.ASCII)


def manifest_place(name: str) -> Path:
    """Return where a store keeps the manifest of a model; raises `UnknownModelError`."""
    *place, last = name.split("/")
    if not place:
        place = ["library"]
    host, *namespace = place if len(place) > 1 else [DEFAULT_HOST, *place]
    model, _, tag = last.partition(":")
    parts = (*namespace, model, tag or "latest")
    if len(parts) != 3 or not _HOST.fullmatch(host) or not all(map(_PART.fullmatch, parts)):
        raise UnknownModelError(f"not a name of a model: {name[:200]!r}")
    return Path(host, *parts)


def name_of(place: Path) -> str:
    """Return the name of the model whose manifest lies there; undoes `manifest_place`."""
    host, namespace, model, tag = place.parts
    prefix = "" if (host, namespace) == (DEFAULT_HOST, "library") else f"{namespace}/"
    return f"{'' if host == DEFAULT_HOST else f'{host}/'}{prefix}{model}:{tag}"


def full_name(name: str) -> str:
    """Return the name with its tag, as Ollama lists it; raises `UnknownModelError`."""
    return name_of(manifest_place(name))
