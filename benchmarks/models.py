"""The embedded pair grown to the cost of larger models, in a folder that keeps what was built.

Needs the `gguf` package of requirements-dev.txt. The grown files say what the embedded pair says:
acceptance is natural, cost is that of the size. They declare a context of 8,192 tokens, so that
deep contexts can be timed; beyond the 1,024 tokens of their training they write nonsense.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from config import ROOT

TARGET = ROOT / "models" / "demo-target.gguf"
DRAFT = ROOT / "models" / "demo-draft.gguf"
DRAFT_TYPE = "Q8_0"
CONTEXT_TOKENS = 8192
Pair = tuple[Path, Path | None]


@dataclass(frozen=True, slots=True)
class Shape:
    """Width, layers and feed-forward width of a grown model."""

    dim: int
    layers: int
    ffn: int


# By name: the shapes of target and draft.
SIZES = {
    "100m": (Shape(768, 12, 2048), Shape(256, 4, 768)),
    "300m": (Shape(1024, 24, 2816), Shape(384, 8, 1024)),
    "1b": (Shape(2048, 16, 8192), Shape(768, 12, 2048)),
}


def grow(
    folder: Path,
    size: str,
    types: Sequence[str],
    *,
    vocabulary: int = 0,
    tell: Callable[[str], None] = print,
) -> list[Pair]:
    """Return pairs of target and draft of a size, one for each type, building what is missing.

    `vocabulary` pads that of both to so many tokens that never win; 0 leaves it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, draft = SIZES[size]
    name = f"{size}-v{vocabulary}" if vocabulary else size
    small = folder / f"{name}-draft-{DRAFT_TYPE}.gguf"
    _build(DRAFT, small, draft, DRAFT_TYPE, vocabulary, tell)
    pairs: list[Pair] = []
    for type_name in types:
        large = folder / f"{name}-target-{type_name}.gguf"
        _build(TARGET, large, target, type_name, vocabulary, tell)
        pairs.append((large, small))
    return pairs


def _build(
    source: Path,
    out: Path,
    shape: Shape,
    type_name: str,
    vocabulary: int,
    tell: Callable[[str], None],
) -> None:
    if out.exists():
        return
    from models.build.inflate import inflate  # only here, as it needs `gguf`

    tell(f"building {out.name}")
    part = out.with_suffix(".part")
    inflate(
        source,
        part,
        type_name=type_name,
        dim=shape.dim,
        layers=shape.layers,
        ffn=shape.ffn,
        vocab=vocabulary,
    )
    _declare_context(part)
    part.replace(out)


def _declare_context(path: Path) -> None:
    import gguf

    field = gguf.GGUFReader(path, "r+").fields["llama.context_length"]
    field.parts[field.data[0]][0] = CONTEXT_TOKENS
