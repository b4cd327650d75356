"""How much memory this process holds and the machine has left."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

from config import ModelOptions
from utils.errors import ModelLoadError
from utils.llama.gguf_header import GGUFHeader, estimate_memory_bytes
from utils.sizes import size

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
# What a container may take, has taken, and holds of files: by version 2, and by version 1.
_CONTAINER_FILES = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
_NO_LIMIT = 2**60
_KIB = 1024


def fits(header: GGUFHeader, options: ModelOptions) -> bool | None:
    """Tell whether a model fits in memory now; `None` where nobody can tell, as of a GPU."""
    # Only the worker has a reason to load llama.cpp; whoever asks for memory alone has none.
    from utils.llama.library import has_gpu

    available = available_bytes()
    if available is None or (has_gpu() and options.gpu_layers != 0):
        return None
    return estimate_memory_bytes(header, options.context_tokens, options.cache_type) < available


def require_memory(header: GGUFHeader, options: ModelOptions) -> None:
    """Raise `ModelLoadError` where a model surely does not fit."""
    if fits(header, options) is False:
        needed = estimate_memory_bytes(header, options.context_tokens, options.cache_type)
        raise ModelLoadError(
            f"model does not fit in memory: {header.name!r} takes about {size(needed)} "
            "with this context; choose a smaller model or context"
        )


def resident_bytes() -> int:
    """Return the memory this process holds; where the system does not say, its highest."""
    try:
        pages = int((PROC / "self" / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return highest if sys.platform == "darwin" else highest * _KIB
    return pages * os.sysconf("SC_PAGE_SIZE")


def give_back_freed() -> None:
    """Return freed memory to the system at once, where the C library can: closed models are big."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def available_bytes() -> int | None:
    """Return the memory that can be had without swapping, or being killed, if the system says."""
    free = _number_after("MemAvailable:", PROC / "meminfo")
    if free is None:
        return None
    return min([free * _KIB, *map(_left_in_container, _CONTAINER_FILES)])


def _left_in_container(names: tuple[str, str, str]) -> int:
    """Return what is left of a container's memory, where there is a limit."""
    limit, taken, statistics = (CGROUP / name for name in names)
    try:
        most, used = int(limit.read_text()), int(taken.read_text())
    except (OSError, ValueError):
        return _NO_LIMIT
    # Files that were read make room by themselves, those of models that were closed among them.
    files = sum(_number_after(kind, statistics) or 0 for kind in ("inactive_file", "active_file"))
    return _NO_LIMIT if most >= _NO_LIMIT else max(0, most - used + files)


def _number_after(word: str, path: Path) -> int | None:
    try:
        lines = (line.split() for line in path.read_text().splitlines())
        return next((int(line[1]) for line in lines if line and line[0] == word), None)
    except (OSError, ValueError, IndexError):
        return None
