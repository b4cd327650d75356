"""Read a GGUF file of the pair back into a torch checkpoint and a tokenizer, to train it further.

python -m models.build.importer --gguf models/demo-target.gguf --out build/target.pt \
    --tokenizer build/data/tokenizer.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from .chat import SPECIALS
from .export import weight_names
from .model import Config, Llama, save


def deinterleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows of Q or K from adjacent rotation pairs to halves."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def read_config(reader: gguf.GGUFReader) -> Config:
    """Return the shape that a file declares."""

    def value(key: str) -> float:
        number: float = reader.fields[f"llama.{key}"].contents()
        return number

    return Config(
        vocab_size=int(value("vocab_size")),
        dim=int(value("embedding_length")),
        layers=int(value("block_count")),
        heads=int(value("attention.head_count")),
        kv_heads=int(value("attention.head_count_kv")),
        head_dim=int(value("attention.key_length")),
        ffn=int(value("feed_forward_length")),
        context=int(value("context_length")),
        rope_base=value("rope.freq_base"),
        norm_eps=value("attention.layer_norm_rms_epsilon"),
    )


def import_model(path: Path) -> Llama:
    """Return the model of a GGUF file in torch."""
    reader = gguf.GGUFReader(path)
    config = read_config(reader)
    stored = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    model = Llama(config)
    state = {}
    for name, ours in weight_names(config.layers).items():
        weight = stored[name]
        if "attn_q" in name:
            weight = deinterleave(weight, config.heads)
        elif "attn_k" in name:
            weight = deinterleave(weight, config.kv_heads)
        state[ours] = torch.from_numpy(np.array(weight, dtype=np.float32))
    model.load_state_dict(state)
    return model.eval()


def import_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a GGUF file, every token under its old id."""
    fields = gguf.GGUFReader(path).fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    merges: list[str] = fields["tokenizer.ggml.merges"].contents()
    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIALS])
    return tokenizer


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json to write")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    model = import_model(args.gguf)
    save(model, args.out)
    print(f"{args.out.name}: {model.size():,} parameters")
    if args.tokenizer:
        args.tokenizer.parent.mkdir(parents=True, exist_ok=True)
        import_tokenizer(args.gguf).save(str(args.tokenizer))


if __name__ == "__main__":
    main()
