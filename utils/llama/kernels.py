"""Whether this build of llama.cpp can use the matrix unit (Intel AMX) it was compiled for.

Compiled by GCC 12, most of the unit's configuration is dropped as unused, and the first quantized
matrix product kills the process. So one is computed in a process of its own first, on a model made
of zeros. Where it dies, weights stay as they are in the file: slower for Q4_0 and its like, safe.
"""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import tempfile
from functools import cache

from config import ROOT
from utils.llama.library import native, system_info
from utils.llama.session import LlamaSession

TRIAL_TIMEOUT_S = 60.0
_WIDTH, _TOKENS, _CONTEXT = 64, 64, 64
_U32, _F32, _STRING = 4, 6, 8
_Q4_0_BLOCK, _Q4_0_BLOCK_BYTES = 32, 18
_METADATA: tuple[tuple[str, int, str | int | float], ...] = (
    ("general.architecture", _STRING, "llama"),
    ("tokenizer.ggml.model", _STRING, "no_vocab"),
    ("llama.vocab_size", _U32, _TOKENS),
    ("llama.context_length", _U32, _CONTEXT),
    ("llama.embedding_length", _U32, _WIDTH),
    ("llama.block_count", _U32, 1),
    ("llama.feed_forward_length", _U32, _WIDTH),
    ("llama.attention.head_count", _U32, 1),
    ("llama.attention.layer_norm_rms_epsilon", _F32, 1e-5),
)
_VECTORS = ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
_MATRICES = (
    "token_embd output blk.0.attn_q blk.0.attn_k blk.0.attn_v blk.0.attn_output"
    " blk.0.ffn_gate blk.0.ffn_up blk.0.ffn_down"
)


@cache
def can_repack() -> bool:
    """Tell whether weights may be laid out anew for the units of this processor."""
    if "AMX_INT8 = 1" not in system_info():
        return True
    try:
        child = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            capture_output=True,
            timeout=TRIAL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return child.returncode == 0


def zero_model() -> bytes:
    """Return a GGUF file of one layer whose weights, in Q4_0, are all zero."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(_VECTORS) + len(_MATRICES.split()), len(_METADATA))
    for key, kind, value in _METADATA:
        head += _text(key) + struct.pack("<I", kind)
        head += _text(value) if isinstance(value, str) else _number(kind, value)
    offset = 0
    for name in _VECTORS:
        head += _text(f"{name}.weight") + struct.pack("<IQIQ", 1, _WIDTH, 0, offset)
        offset += 4 * _WIDTH
    for name in _MATRICES.split():
        head += _text(f"{name}.weight") + struct.pack("<IQQIQ", 2, _WIDTH, _WIDTH, 2, offset)
        offset += _WIDTH * _WIDTH // _Q4_0_BLOCK * _Q4_0_BLOCK_BYTES
    return head.ljust((len(head) + 31) // 32 * 32, b"\0") + bytes(offset)


def compute() -> None:
    """Decode one token and many, as a quantized model does; may kill the process."""
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(zero_model())
        file.flush()
        model = native.llama_model_load_from_file(
            file.name.encode(), native.llama_model_default_params()
        )
    params = native.llama_context_default_params()
    params.n_ctx = _CONTEXT
    context = native.llama_init_from_model(model, params)
    session = LlamaSession(context, n_vocab=_TOKENS, n_ctx=_CONTEXT, max_rows=1)
    session.decode([0], rows=1)
    session.decode([0] * (_CONTEXT // 2), rows=1)
    session.close()
    native.llama_free(context)
    native.llama_model_free(model)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _number(kind: int, value: float) -> bytes:
    return struct.pack("<f", value) if kind == _F32 else struct.pack("<I", int(value))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compute()
