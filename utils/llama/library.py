"""The llama.cpp library: started once, silenced, and what it was built with.

Importing `llama_cpp` installs a logger that prints everything; here the last errors are kept
instead, so that a failed load can say why.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from importlib.metadata import version
from typing import Any

# Threads that wait for each other give up the core after some microseconds instead of
# milliseconds: free on a quiet machine, ten times faster beside another busy process. The OpenMP
# runtime reads it when it is loaded, so it must stand here.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from llama_cpp import llama_cpp as native

__all__ = [
    "has_gpu",
    "library_version",
    "logits_address",
    "native",
    "system_info",
    "take_errors",
]
# As `llama_get_logits`, but the bare address: to make a pointer takes longer than the call.
logits_address = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(
    ctypes.cast(native.llama_get_logits, ctypes.c_void_p).value or 0
)
_INFO, _ERROR, _CONTINUES = 2, 4, 5
_errors: deque[str] = deque(maxlen=8)
_continued = [_INFO]


def _keep_errors(level: int, text: bytes, _user_data: Any) -> None:
    if level != _CONTINUES:
        _continued[0] = level
    if _continued[0] == _ERROR:
        _errors.append(text.decode("utf-8", "replace").strip())


_callback = native.llama_log_callback(_keep_errors)
native.llama_log_set(_callback, ctypes.c_void_p(0))
native.llama_backend_init()


def library_version() -> str:
    """Return the version of the binding, which pins one of llama.cpp."""
    return version("llama-cpp-python")


def system_info() -> str:
    """Return the processor features that llama.cpp was built for and found."""
    return bytes(native.llama_print_system_info()).decode("utf-8", "replace").strip()


def has_gpu() -> bool:
    """Tell whether this build can run layers on a GPU."""
    return bool(native.llama_supports_gpu_offload())


def take_errors() -> str:
    """Return what llama.cpp logged as errors since the last call, in one line."""
    text = "; ".join(line for line in _errors if line)
    _errors.clear()
    return text
