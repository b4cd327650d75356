"""The Llama architecture in torch, small enough to train on two processor cores."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    """Shape of a Llama model."""

    vocab_size: int = 4096
    dim: int = 384
    layers: int = 6
    heads: int = 6
    kv_heads: int = 3
    head_dim: int = 64
    ffn: int = 1024
    context: int = 1024
    rope_base: float = 10000.0
    norm_eps: float = 1e-5


PRESETS = {
    "target": Config(),
    "draft": Config(dim=128, layers=2, heads=2, kv_heads=1, ffn=384),
}


def rope_tables(config: Config) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of shape (context, head_dim), the two halves of a head alike."""
    exponent = torch.arange(0, config.head_dim, 2).float() / config.head_dim
    angle = torch.arange(config.context).float()[:, None] * config.rope_base**-exponent
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos(), angle.sin()


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys by their positions."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Causal self-attention with grouped queries and rotary positions."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        inner, shared = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q = nn.Linear(config.dim, inner, bias=False)
        self.k = nn.Linear(config.dim, shared, bias=False)
        self.v = nn.Linear(config.dim, shared, bias=False)
        self.out = nn.Linear(inner, config.dim, bias=False)

    def forward(self, stream: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return what attention adds to the residual stream."""
        batch, length, _ = stream.shape
        c = self.config

        def split(projected: Tensor) -> Tensor:
            return projected.view(batch, length, -1, c.head_dim).transpose(1, 2)

        query, key, value = split(self.q(stream)), split(self.k(stream)), split(self.v(stream))
        cos, sin = cos.to(query.dtype), sin.to(query.dtype)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        group = c.heads // c.kv_heads
        key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        added: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, -1))
        return added


class Block(nn.Module):
    """Transformer block: attention, then a gated feed-forward, each behind a norm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attn_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.attn = Attention(config)
        self.ffn_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.gate = nn.Linear(config.dim, config.ffn, bias=False)
        self.up = nn.Linear(config.dim, config.ffn, bias=False)
        self.down = nn.Linear(config.ffn, config.dim, bias=False)

    def forward(self, stream: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return the residual stream after this block."""
        stream = stream + self.attn(self.attn_norm(stream), cos, sin)
        normed = self.ffn_norm(stream)
        result: Tensor = stream + self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return result


class Llama(nn.Module):
    """Llama with one matrix for input and output embeddings."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        cos, sin = rope_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        # Residual writes start smaller, so that the stream keeps its scale at any depth.
        small = 0.02 / math.sqrt(2 * self.config.layers)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                writes = name.endswith(("attn.out.weight", "down.weight"))
                nn.init.normal_(weight, std=small if writes else 0.02)

    def hidden(self, token_ids: Tensor) -> Tensor:
        """Return the normed output of the last block."""
        stream: Tensor = self.embed(token_ids)
        cos, sin = self.cos[: token_ids.shape[1]], self.sin[: token_ids.shape[1]]
        for block in self.blocks:
            stream = block(stream, cos, sin)
        normed: Tensor = self.norm(stream)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the scores of every token for the given outputs of the last block."""
        return functional.linear(hidden, self.embed.weight).float()

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return the logits of every position."""
        return self.logits(self.hidden(token_ids))

    def size(self) -> int:
        """Return the number of parameters."""
        return sum(p.numel() for p in self.parameters())


def save(model: Llama, path: Path, **extra: Any) -> None:
    """Write a checkpoint atomically, so that it can be read at any time."""
    part = path.with_suffix(".part")
    torch.save({"config": asdict(model.config), "state": model.state_dict(), **extra}, part)
    part.replace(path)


def load(path: Path) -> Llama:
    """Read the model of a checkpoint."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    model = Llama(Config(**checkpoint["config"]))
    model.load_state_dict(checkpoint["state"])
    return model.eval()
