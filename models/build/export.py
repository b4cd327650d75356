"""Write a checkpoint as a GGUF file of the llama architecture, and compare the two.

python -m models.build.export --checkpoint build/target.pt --tokenizer build/data/tokenizer.json \
    --out demo-target.gguf --type F16 --verify build/corpus/heldout.jsonl
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path

import gguf
import numpy as np
import torch

from .chat import (
    CHAT_TEMPLATE,
    END_OF_TEXT,
    IM_END,
    SPECIALS,
    Conversation,
    read_conversations,
    render,
)
from .files import FILE_TYPES, weight_type
from .model import Config, Llama, load

BLOCK_WEIGHTS = {
    "attn_norm": "attn_norm",
    "attn_q": "attn.q",
    "attn_k": "attn.k",
    "attn_v": "attn.v",
    "attn_output": "attn.out",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "gate",
    "ffn_up": "up",
    "ffn_down": "down",
}


def weight_names(layers: int) -> dict[str, str]:
    """Return the torch name of every GGUF weight; tied embeddings need no ``output.weight``."""
    names = {"token_embd.weight": "embed.weight", "output_norm.weight": "norm.weight"}
    for layer in range(layers):
        for theirs, ours in BLOCK_WEIGHTS.items():
            names[f"blk.{layer}.{theirs}.weight"] = f"blocks.{layer}.{ours}.weight"
    return names


def interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows of Q or K from halves to the adjacent pairs that llama.cpp rotates."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def gguf_weights(model: Llama) -> dict[str, np.ndarray]:
    """Return the weights of a model under their GGUF names and in GGUF order."""
    state = model.state_dict()
    weights: dict[str, np.ndarray] = {}
    for name, ours in weight_names(model.config.layers).items():
        weight = state[ours].float().numpy()
        if "attn_q" in name:
            weight = interleave(weight, model.config.heads)
        elif "attn_k" in name:
            weight = interleave(weight, model.config.kv_heads)
        weights[name] = weight
    return weights


def add_shape(writer: gguf.GGUFWriter, config: Config) -> None:
    """Declare the shape of the model."""
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.dim)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.ffn)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.norm_eps)


def add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    """Declare the tokens, merges and control tokens of a tokenizer.json."""
    spec = json.loads(path.read_text(encoding="utf-8"))["model"]
    ids: dict[str, int] = spec["vocab"]
    tokens = sorted(ids, key=ids.__getitem__)
    special, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([special if token in SPECIALS else normal for token in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in spec["merges"]])
    writer.add_eos_token_id(ids[IM_END])
    writer.add_eot_token_id(ids[IM_END])
    writer.add_pad_token_id(ids[END_OF_TEXT])
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(CHAT_TEMPLATE)


def export(model: Llama, tokenizer: Path, out: Path, *, type_name: str, name: str) -> None:
    """Write a GGUF file; norms stay F32."""
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name(name)
    writer.add_description("Tiny demonstration chat model trained from scratch on synthetic text")
    writer.add_license("mit")
    writer.add_file_type(FILE_TYPES[type_name])
    add_shape(writer, model.config)
    add_tokenizer(writer, tokenizer)
    for weight_name, weight in gguf_weights(model).items():
        kind = weight_type(type_name, weight.ndim)
        writer.add_tensor(weight_name, gguf.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def verify(model: Llama, path: Path, conversations: list[Conversation]) -> float:
    """Return the largest logit difference between torch and llama.cpp after the prompts."""
    from .runner import Runner

    runner = Runner(path)
    worst = 0.0
    for messages in conversations:
        ids = runner.token_ids(render(messages[:-1], generation_prompt=True))
        runner.llm.reset()
        theirs = runner.logits(ids)
        with torch.no_grad():
            ours = model(torch.tensor([ids]))[0, -1].numpy()
        worst = max(worst, float(np.abs(ours - theirs).max()))
    return worst


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--type", choices=FILE_TYPES, default="F16")
    parser.add_argument("--verify", type=Path, metavar="HELDOUT", help="held-out conversations")
    parser.add_argument("--prompts", type=int, default=20, help="conversations to verify with")
    args = parser.parse_args()

    model = load(args.checkpoint)
    export(model, args.tokenizer, args.out, type_name=args.type, name=args.out.stem)
    size = args.out.stat().st_size / 2**20
    print(f"{args.out.name}: {model.size():,} parameters, {size:.1f} MiB")
    if args.verify:
        conversations = list(islice(read_conversations(args.verify), args.prompts))
        worst = verify(model, args.out, conversations)
        print(f"largest logit difference from torch: {worst:.1e}")


if __name__ == "__main__":
    main()
