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

PROC = Path("/proc")
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
    """Return the memory that can be had without swapping, if the system says."""
    try:
        for line in (PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * _KIB
    except (OSError, ValueError, IndexError):
        pass
    return None
