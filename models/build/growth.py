"""The arithmetic of growing a model: its larger shape and each of its larger weights.

New dimensions of the residual stream hold zeros, and norms make up for the larger mean. What is new
and reads the stream is random, what is new and writes to it is zero or small noise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from .files import FILE_TYPES

Weight = NDArray[np.float32]
WRITERS = ("attn_output", "ffn_down")  # projections that add to the residual stream
EMBEDDINGS = ("token_embd", "output")
BLOCK_NORMS = ("attn_norm", "ffn_norm")
ANCHOR_ROOM = 32  # dimensions that share a quantization block must not share the anchor's
ANCHOR_SCORE = 1000.0


@dataclass(frozen=True)
class Shape:
    """Sizes of a llama GGUF model."""

    dim: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    eps: float

    @classmethod
    def of(cls, reader: gguf.GGUFReader) -> Shape:
        """Return the shape that a file declares."""

        def value(key: str) -> Any:
            return reader.fields[f"llama.{key}"].contents()

        return cls(
            dim=value("embedding_length"),
            layers=value("block_count"),
            heads=value("attention.head_count"),
            kv_heads=value("attention.head_count_kv"),
            head_dim=value("attention.key_length"),
            ffn=value("feed_forward_length"),
            vocab=len(reader.fields["tokenizer.ggml.tokens"].data),
            eps=value("attention.layer_norm_rms_epsilon"),
        )

    def grown(self, *, dim: int, layers: int, ffn: int, vocab: int) -> Shape:
        """Return the larger shape, whose heads fill the new width with the old group size."""
        group = self.heads // self.kv_heads
        if dim % (self.head_dim * group):
            raise ValueError(f"--d-model must be a multiple of {self.head_dim * group}")
        heads = dim // self.head_dim
        new = replace(
            self,
            dim=dim,
            layers=layers,
            heads=heads,
            kv_heads=heads // group,
            ffn=ffn,
            vocab=vocab,
            eps=self.eps * self.dim / dim,
        )
        sizes = ("dim", "layers", "heads", "ffn", "vocab")
        if any(getattr(new, size) < getattr(self, size) for size in sizes):
            raise ValueError("every size must be at least that of the input model")
        return new

    def weight(self, part: str) -> tuple[int, ...]:
        """Return the shape of a weight, rows first."""
        query, shared = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "token_embd": (self.vocab, self.dim),
            "output": (self.vocab, self.dim),
            "output_norm": (self.dim,),
            "attn_norm": (self.dim,),
            "ffn_norm": (self.dim,),
            "attn_q": (query, self.dim),
            "attn_k": (shared, self.dim),
            "attn_v": (shared, self.dim),
            "attn_output": (self.dim, query),
            "ffn_gate": (self.ffn, self.dim),
            "ffn_up": (self.ffn, self.dim),
            "ffn_down": (self.dim, self.ffn),
        }[part]


@dataclass(frozen=True)
class Anchor:
    """One new dimension that every token sets to the same small number.

    Norms add its square to theirs as they add epsilon, so epsilon gives up what it takes. Blocks do
    not read it; the last norm makes it large, and padding tokens subtract it from their score.
    """

    at: int
    height: float

    @classmethod
    def within(cls, old: Shape, new: Shape) -> Anchor:
        """Return the anchor in the last new dimension, at half the weight of epsilon."""
        if new.dim < old.dim + ANCHOR_ROOM:
            raise ValueError(f"--pad-vocab needs a --d-model of at least {old.dim + ANCHOR_ROOM}")
        return cls(new.dim - 1, math.sqrt(old.eps * old.dim / 2))

    def place(self, part: str, weight: Weight, old_vocab: int) -> None:
        """Write the anchor into a grown weight."""
        if part == "token_embd":
            weight[:, self.at] = self.height
        elif part == "output":
            weight[old_vocab:, self.at] = -ANCHOR_SCORE
        elif part == "output_norm":
            weight[self.at] = ANCHOR_SCORE / self.height
        elif part in BLOCK_NORMS + WRITERS:
            weight[self.at] = 0.0


def part_of(name: str) -> str:
    """Return the kind of a weight: ``blk.3.attn_q.weight`` is an ``attn_q``."""
    return re.sub(r"^blk\.\d+\.|\.weight$", "", name)


@dataclass
class Growth:
    """The way from one shape to a larger one."""

    old: Shape
    new: Shape
    anchor: Anchor | None
    noise: float
    rng: np.random.Generator

    def names(self, old_names: list[str]) -> Iterator[str]:
        """Yield the names in the grown file; new blocks take theirs from the first block."""
        yield from old_names
        if self.anchor and "output.weight" not in old_names:
            yield "output.weight"
        parts = [n.removeprefix("blk.0.") for n in old_names if n.startswith("blk.0.")]
        for layer in range(self.old.layers, self.new.layers):
            yield from (f"blk.{layer}.{part}" for part in parts)

    def weight(self, name: str, base: Weight | None) -> Weight:
        """Return one grown weight, with the base weight (if any) in its leading corner."""
        part = part_of(name)
        grown = self._filling(part)
        if base is not None:
            grown[tuple(slice(n) for n in base.shape)] = base
        if part.endswith("norm"):
            grown *= np.float32(math.sqrt(self.old.dim / self.new.dim))
        if self.anchor:
            self.anchor.place(part, grown, self.old.vocab)
        return grown

    def _filling(self, part: str) -> Weight:
        shape = self.new.weight(part)
        if part.endswith("norm"):
            return np.ones(shape, np.float32)
        scale = (self.noise if part in WRITERS else 1.0) / math.sqrt(shape[-1])
        if part in EMBEDDINGS or not scale:
            return np.zeros(shape, np.float32)
        return self.rng.standard_normal(shape, np.float32) * np.float32(scale)

    def metadata(self, reader: gguf.GGUFReader, *, name: str, type_name: str) -> dict[str, Any]:
        """Return the metadata that differs from the input's."""
        new, old = self.new, self.old
        taken = self.anchor.height**2 / new.dim if self.anchor else 0.0
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()
        types = reader.fields["tokenizer.ggml.token_type"].contents()
        unused = range(old.vocab, new.vocab)
        return {
            "general.name": name,
            "general.file_type": int(FILE_TYPES[type_name]),
            "llama.vocab_size": new.vocab,
            "llama.embedding_length": new.dim,
            "llama.block_count": new.layers,
            "llama.feed_forward_length": new.ffn,
            "llama.attention.head_count": new.heads,
            "llama.attention.head_count_kv": new.kv_heads,
            "llama.attention.layer_norm_rms_epsilon": new.eps - taken,
            "tokenizer.ggml.tokens": [*tokens, *(f"<|unused_{i}|>" for i in unused)],
            "tokenizer.ggml.token_type": [*types, *(int(gguf.TokenType.UNUSED) for _ in unused)],
        }
