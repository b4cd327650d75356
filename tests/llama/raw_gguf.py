"""GGUF files built byte by byte, so that they can be wrong in one chosen place."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

U8, I8, U32, I32, F32, BOOL, STRING, ARRAY, U64 = 0, 1, 4, 5, 6, 7, 8, 9, 10
FORMATS = {U8: "<B", I8: "<b", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q"}
Pair = tuple[str, int, Any]
TOKENS = [f"t{number}" for number in range(16)]
PAIRS: dict[str, tuple[int, Any]] = {
    "general.architecture": (STRING, "llama"),
    "general.file_type": (U32, 2),
    "llama.context_length": (U32, 128),
    "llama.embedding_length": (U32, 64),
    "llama.block_count": (U32, 2),
    "llama.attention.head_count": (U32, 4),
    "llama.attention.head_count_kv": (U32, 2),
    "tokenizer.ggml.model": (STRING, "gpt2"),
    "tokenizer.ggml.tokens": (ARRAY, (STRING, TOKENS)),
    "tokenizer.ggml.token_type": (ARRAY, (I32, [1] * 16)),
    "tokenizer.ggml.eos_token_id": (U32, 3),
}


@dataclass
class Tensor:
    """A declared tensor; without an offset it follows the one before."""

    name: str = "token_embd.weight"
    shape: tuple[int, ...] = (64, 16)
    kind: int = 0
    offset: int | None = None
    size: int = 64 * 16 * 4


@dataclass
class RawGGUF:
    """The parts of a file; `pairs` of None are left out."""

    magic: bytes = b"GGUF"
    version: int = 3
    pairs: dict[str, tuple[int, Any] | None] = field(default_factory=dict)
    extra: list[bytes] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=lambda: [Tensor()])
    tensor_count: int | None = None
    pair_count: int | None = None
    alignment: int = 32

    def build(self) -> bytes:
        pairs = {k: v for k, v in {**PAIRS, **self.pairs}.items() if v is not None}
        written = [text(key) + value(*item) for key, item in pairs.items()] + self.extra
        counts = (
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(written) if self.pair_count is None else self.pair_count,
        )
        head = self.magic + struct.pack("<IQQ", self.version, *counts) + b"".join(written)
        offset = 0
        for tensor in self.tensors:
            head += text(tensor.name) + struct.pack("<I", len(tensor.shape))
            head += struct.pack(f"<{len(tensor.shape)}QI", *tensor.shape, tensor.kind)
            head += struct.pack("<Q", offset if tensor.offset is None else tensor.offset)
            offset += -(-tensor.size // self.alignment) * self.alignment
        data = sum(-(-t.size // self.alignment) * self.alignment for t in self.tensors)
        return head + bytes(-len(head) % self.alignment) + bytes(data)


def text(content: str | bytes) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(data)) + data


def value(kind: int, content: Any) -> bytes:
    """A value with its type in front."""
    if kind == ARRAY:
        inner, items = content
        packed = b"".join(_bare(inner, item) for item in items)
        return struct.pack("<IIQ", ARRAY, inner, len(items)) + packed
    return struct.pack("<I", kind) + _bare(kind, content)


def _bare(kind: int, content: Any) -> bytes:
    return text(content) if kind == STRING else struct.pack(FORMATS[kind], content)
