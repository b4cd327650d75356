"""Which build of llama.cpp is installed: told without loading it."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path


@cache
def installed_build() -> tuple[str, ...]:
    """Return what tells the build from others: the binding's version, its libraries by size.

    One version is built for many processors and for GPUs, with other code in the same files.
    """
    with_sizes = (f"{file.name} {file.stat().st_size}" for file in _libraries() if file.is_file())
    return version("llama-cpp-python"), *sorted(with_sizes)


def _libraries() -> list[Path]:
    chosen, package = os.environ.get("LLAMA_CPP_LIB_PATH"), find_spec("llama_cpp")
    if chosen:
        return list(Path(chosen).glob("*"))
    inside = package.submodule_search_locations if package else None
    return [file for folder in inside or () for file in Path(folder, "lib").glob("*")]
