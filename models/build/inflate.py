"""Grow a GGUF model to the compute cost of a larger one without changing what it says.

python -m models.build.inflate --in models/demo-target.gguf --out bench-300m-target.gguf \
    --d-model 1024 --layers 24 --ffn 2816 --type F16 --pad-vocab 128256

The result computes the same function up to rounding, so acceptance rates measured with it are
those of the trained pair, while time per token is that of the larger shape:

* residual stream: new dimensions hold zeros. RMSNorm divides by the mean over all dimensions, so
  its weight takes the factor sqrt(old / new) and its epsilon old / new;
* heads: more of them, at the same head size (rotation depends on it) and the same group size;
* blocks: new ones follow the old;
* vocabulary: padding tokens are scored through one dimension that is the same positive number at
  every position (see ``growth.Anchor``), so that they can never win.

Everything new that reads the stream has random weights; everything that writes to it is zero, or
normal noise of relative size ``--noise``. No kernel of llama.cpp skips zeros, so they cost as much
as other numbers.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from .chat import question_prompt
from .files import FILE_TYPES, weight_type
from .growth import Anchor, Growth, Shape, part_of

PROMPTS = (
    "What is speculative decoding?",
    "Write a Python function that adds two numbers.",
    "Count from 1 to 20.",
    "Tell me a short story about a fox.",
    "Who are you?",
)


def copy_metadata(
    reader: gguf.GGUFReader, writer: gguf.GGUFWriter, replaced: dict[str, Any]
) -> None:
    """Copy all metadata but what is replaced."""
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        kind, *rest = field.types
        value = replaced.get(key, field.contents())
        writer.add_key_value(key, value, kind, rest[-1] if rest else None)


def plan_growth(
    reader: gguf.GGUFReader,
    *,
    dim: int,
    layers: int,
    ffn: int,
    vocab: int = 0,
    noise: float = 0.0,
    seed: int = 0,
) -> Growth:
    """Return the growth of a file to the given sizes; 0 keeps its vocabulary."""
    old = Shape.of(reader)
    new = old.grown(dim=dim, layers=layers, ffn=ffn, vocab=vocab or old.vocab)
    anchor = Anchor.within(old, new) if new.vocab > old.vocab else None
    return Growth(old, new, anchor, noise, np.random.default_rng(seed))


def inflate(source: Path, out: Path, *, type_name: str, **sizes: Any) -> int:
    """Write the grown model weight by weight and return its number of parameters."""
    reader = gguf.GGUFReader(source)
    growth = plan_growth(reader, **sizes)
    base = {t.name: t for t in reader.tensors}
    if growth.anchor and "output.weight" not in base:
        base["output.weight"] = base["token_embd.weight"]
    names = list(growth.names([t.name for t in reader.tensors]))
    writer = gguf.GGUFWriter(out, "llama")
    copy_metadata(reader, writer, growth.metadata(reader, name=out.stem, type_name=type_name))
    parameters = 0
    for name in names:
        shape = growth.new.weight(part_of(name))
        kind = weight_type(type_name, len(shape))
        block, size = gguf.GGML_QUANT_SIZES[kind]
        stored = math.prod(shape) // block * size
        writer.add_tensor_info(name, shape, np.dtype(np.float32), stored, kind)
        parameters += math.prod(shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name in names:
        tensor = base.get(name)
        old = None if tensor is None else gguf.dequantize(tensor.data, tensor.tensor_type)
        weight = growth.weight(name, old)
        writer.write_tensor_data(gguf.quantize(weight, weight_type(type_name, weight.ndim)))
    writer.close()
    return parameters


def verify(source: Path, out: Path, *, limit: int) -> int:
    """Print how far the greedy answers of both files agree and return how many differ."""
    from .runner import Runner

    base, big = Runner(source), Runner(out)
    differing = 0
    for question in PROMPTS:
        prompt = question_prompt(question)
        ours = base.greedy(prompt, limit=limit, stop_at_end=False)
        theirs = big.greedy(prompt, limit=limit, stop_at_end=False)
        pairs = enumerate(zip(ours, theirs, strict=True))
        first = next((i for i, (a, b) in pairs if a != b), None)
        differing += first is not None
        verdict = f"all {limit} tokens equal" if first is None else f"differs at token {first}"
        print(f"{verdict}: {question}")
    return differing


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--in", dest="source", type=Path, required=True)
    add("--out", type=Path, required=True)
    add("--d-model", type=int, required=True)
    add("--layers", type=int, required=True)
    add("--ffn", type=int, required=True)
    add("--type", choices=FILE_TYPES, default="F16")
    add("--pad-vocab", type=int, default=0, help="tokens in the padded vocabulary")
    add("--noise", type=float, default=0.0, help="relative size of new residual writes")
    add("--seed", type=int, default=0)
    add("--verify", action="store_true", help="compare greedy output with the input model")
    add("--verify-tokens", type=int, default=256)
    args = parser.parse_args()

    parameters = inflate(
        args.source,
        args.out,
        type_name=args.type,
        dim=args.d_model,
        layers=args.layers,
        ffn=args.ffn,
        vocab=args.pad_vocab,
        noise=args.noise,
        seed=args.seed,
    )
    size = args.out.stat().st_size / 2**20
    print(f"{args.out.name}: {parameters:,} parameters, {size:.0f} MiB")
    if args.verify:
        verify(args.source, args.out, limit=args.verify_tokens)


if __name__ == "__main__":
    main()
