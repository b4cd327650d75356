"""Names of models: Ollama's, each one place in a store, and those of files in model folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from utils.errors import UnknownModelError

DEFAULT_HOST = "registry.ollama.ai"
MAX_FILES = 1000
ENDING = ".gguf"
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
        raise UnknownModelError(
            f"not a name of a model: {name[:200]!r}; write one like llama3.2:3b or "
            "hf.co/user/repo:Q4_K_M"
        )
    return Path(host, *parts)


def name_of(place: Path) -> str:
    """Return the name of the model whose manifest lies there; undoes `manifest_place`."""
    host, namespace, model, tag = place.parts
    prefix = "" if (host, namespace) == (DEFAULT_HOST, "library") else f"{namespace}/"
    return f"{'' if host == DEFAULT_HOST else f'{host}/'}{prefix}{model}:{tag}"


def full_name(name: str) -> str:
    """Return the name with its tag, as Ollama lists it; raises `UnknownModelError`."""
    return name_of(manifest_place(name))


def name_files(folders: Iterable[Path], taken: Iterable[str]) -> Iterator[tuple[str, Path, Path]]:
    """Yield (name, file, folder) of every GGUF directly in the folders, by folder and name.

    A name that is `taken` already, or is that of a file before, gets its folder's in front.
    """
    names = set(taken)
    for folder in folders:
        for path in _gguf_files(folder):
            name = next(name for name in _candidates(path.stem, folder.name) if name not in names)
            names.add(name)
            yield name, path, folder


def is_file_name(name: str) -> bool:
    """Tell whether a file is meant, and no model of Ollama: names and tags may end like files."""
    if not name.lower().endswith(ENDING):
        return False
    path = Path(name)
    if path.is_absolute():
        return True
    host = path.parts[0] if len(path.parts) > 1 else ""
    is_server = "." in host.strip(".") and not path.parent.is_dir()
    return ":" not in name and not is_server


def name_of_file(given: str, folders: Sequence[Path], taken: Iterable[str]) -> str:
    """Return the name of a model that is given by its file, with a path or without.

    What is no name of a file, or of none that is there, is returned as it is. Raises
    `UnknownModelError` for a path to where no models are looked for.
    """
    if not is_file_name(given):
        return given
    path = Path(given)
    with suppress(RuntimeError):
        path = path.expanduser()
    is_path = len(path.parts) > 1
    for name, file, folder in name_files(folders, taken):
        if path.name == file.name and not (is_path and _place(path.parent) != _place(folder)):
            return name
    if is_path and _place(path.parent) not in map(_place, folders):
        raise UnknownModelError(
            f"{given[:200]!r}, which lies in no model folder; add "
            f"{str(_place(path.parent))[:200]!r} to SPECCHAT_MODEL_FOLDERS, and write "
            f"{path.stem[:200]!r}"
        )
    return given


def _place(folder: Path) -> Path:
    try:
        return folder.resolve()
    except (OSError, RuntimeError, ValueError):
        return folder.absolute()


def _gguf_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"*{ENDING}"))[:MAX_FILES]
    except OSError:
        return []


def _candidates(stem: str, folder: str) -> Iterator[str]:
    yield stem
    yield f"{folder}/{stem}"
    number = 2
    while True:
        yield f"{folder}/{stem} ({number})"
        number += 1
