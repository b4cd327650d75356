"""Ollama's models as files: a name becomes its GGUF blob, which is read where it lies.

Blobs are named by their SHA-256. One function makes paths of digests, and none leads out of a
store, whatever a server or a manifest says.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from shutil import disk_usage
from typing import Any, TypeVar

from config import Settings
from utils.backends.modelfile import Modelfile, parse_modelfile
from utils.errors import ModelFileError, UnknownModelError
from utils.model_names import manifest_place as manifest_place
from utils.model_names import name_of

DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})", re.ASCII)
MAX_MANIFEST_BYTES = 2**20
MAX_TEXT_BYTES = 2**20
MAX_MODELS = 1000
T = TypeVar("T")
_LAYER = "application/vnd.ollama.image."
_SERVICE_STORES = (
    Path("/usr/share/ollama/.ollama/models"),
    Path("/var/lib/ollama/.ollama/models"),
    Path("/var/lib/ollama"),
    Path("/var/snap/ollama/common/models"),
)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model of Ollama on this machine: its weights, drafts that came along, its recipe."""

    name: str
    digest: str
    path: Path
    drafts: tuple[Path, ...]
    modelfile: Modelfile


class ModelStore:
    """The folders in which Ollama may keep models on this machine."""

    def __init__(self, settings: Settings, *, environment: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self.folders = tuple(_folders(settings, environment))

    def find(self, name: str, modelfile: str | None = None) -> StoredModel:
        """Return the files of a model.

        `modelfile` is what Ollama shows of it; without one, the manifests on disk are read. Raises
        `UnknownModelError` where neither knows the model, `ModelFileError` where its file is not
        on this machine, may not be read, or is no GGUF.
        """
        recipe = self._read_manifest(name) if modelfile is None else parse_modelfile(modelfile)
        if not recipe.sources or (digest := _digest_of(recipe.sources[0])) is None:
            raise ModelFileError(f"model has no GGUF file: {name!r} is of another kind")
        return StoredModel(
            name=name,
            digest=digest,
            path=self._locate(recipe.sources[0], name),
            drafts=tuple(
                self._locate(source, name) for source in recipe.drafts if _digest_of(source)
            ),
            modelfile=recipe,
        )

    def names(self) -> list[str]:
        """Return the models whose manifests lie here, as Ollama calls them, at most 1,000."""
        found: set[str] = set()
        for folder in self.folders:
            with suppress(OSError):
                root = folder / "manifests"
                places = islice(root.glob("*/*/*/*"), MAX_MODELS)
                found |= {name_of(place.relative_to(root)) for place in places}
        return sorted(found)

    def free_space(self) -> tuple[Path, int] | None:
        """Return the folder of this machine that pulls go to, and its free bytes; None: no such."""
        for folder in self.folders:
            with suppress(OSError):
                return folder, disk_usage(folder).free
        return None

    def _locate(self, source: str, name: str) -> Path:
        folders = list(self.folders)
        if (named := Path(source)).is_absolute() and named.parent.name == "blobs":
            folders.insert(0, named.parent.parent)
        path = self._first(folders, name, lambda folder: blob_path(folder, named.name))
        if path is None:
            raise ModelFileError(
                f"model file is not on this machine: Ollama at {self._settings.ollama_url} has "
                f"{name!r}, but none of its folders here; if it is mounted here, set "
                "SPECCHAT_OLLAMA_STORE to the folder with manifests and blobs"
            )
        return path

    def _read_manifest(self, name: str) -> Modelfile:
        place = manifest_place(name)
        recipe = self._first(self.folders, name, lambda folder: _read_recipe(folder, place, name))
        if recipe is None:
            raise UnknownModelError(f"Ollama has no model {name!r} on this machine: pull it first")
        return recipe

    def _first(
        self, folders: Sequence[Path], name: str, look: Callable[[Path], T | None]
    ) -> T | None:
        """Return what is found in the first folder that has it and may be read."""
        forbidden: Path | None = None
        for folder in folders:
            try:
                if (found := look(folder)) is not None:
                    return found
            except PermissionError:
                forbidden = forbidden or folder
        if forbidden is not None:
            raise ModelFileError(
                f"model file may not be read: {name!r} lies in {str(forbidden)!r}, which belongs "
                "to another user; allow reading it, or join the group of Ollama's service"
            )
        return None


def blob_path(folder: Path, digest: str) -> Path | None:
    """Return the blob of that digest in a store, or None where it is not there.

    Raises `ValueError` for what is no digest, and `PermissionError`. The file never lies outside
    the store, not even through a link.
    """
    if (found := DIGEST.fullmatch(digest)) is None:
        raise ValueError(f"not a digest: {digest[:100]!r}")
    try:
        store = folder.resolve()
        path = (store / "blobs" / f"sha256-{found[1]}").resolve()
        is_there = path.is_relative_to(store) and path.is_file()
    except PermissionError:
        raise
    # Names from a server may be such that no file can have them.
    except (OSError, RuntimeError, ValueError):
        return None
    if not is_there:
        return None
    with path.open("rb"):
        return path


def _folders(settings: Settings, environment: Mapping[str, str]) -> Iterator[Path]:
    if settings.ollama_store is not None:
        yield settings.ollama_store.expanduser()
        return
    if named := environment.get("OLLAMA_MODELS", "").strip():
        yield Path(named).expanduser()
    yield Path.home() / ".ollama" / "models"
    yield from _SERVICE_STORES


def _digest_of(source: str) -> str | None:
    found = DIGEST.fullmatch(Path(source).name)
    return found[1] if found else None


def _read_recipe(folder: Path, place: Path, name: str) -> Modelfile | None:
    if (text := _read(folder / "manifests" / place, MAX_MANIFEST_BYTES)) is None:
        return None
    kinds: dict[str, list[str]] = {}
    with suppress(ValueError, TypeError, AttributeError, LookupError, RecursionError):
        for layer in json.loads(text)["layers"]:
            kind, digest = str(layer["mediaType"]), str(layer["digest"])
            if kind.startswith(_LAYER) and DIGEST.fullmatch(digest):
                kinds.setdefault(kind.removeprefix(_LAYER), []).append(digest)
    if not kinds:
        raise ModelFileError(f"manifest of a model is damaged: {name!r}; pull it again")
    blobs = {
        kind: [str(folder.absolute() / "blobs" / digest.replace(":", "-")) for digest in digests]
        for kind, digests in kinds.items()
    }
    return Modelfile(
        sources=tuple(blobs.get("model", ())),
        drafts=tuple(blobs.get("draft", ())),
        adapters=tuple(blobs.get("adapter", ())),
        template=_text(folder, kinds.get("template")),
        system=_text(folder, kinds.get("system")),
        parameters=_parameters(_text(folder, kinds.get("params"))),
    )


def _parameters(text: str) -> dict[str, list[Any]]:
    with suppress(ValueError, RecursionError):
        if isinstance(found := json.loads(text or "{}"), dict):
            return {
                name: value if isinstance(value, list) else [value] for name, value in found.items()
            }
    return {}


def _text(folder: Path, digests: list[str] | None) -> str:
    if digests and (path := blob_path(folder, digests[-1])) is not None:
        return _read(path, MAX_TEXT_BYTES) or ""
    return ""


def _read(path: Path, limit: int) -> str | None:
    """Return a short text file, or None where there is none; raises `PermissionError`."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(limit + 1)
    with suppress(UnicodeDecodeError):
        return data.decode("utf-8") if len(data) <= limit else None
    return None
