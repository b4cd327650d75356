"""Valid GGUF files of the llama architecture, small enough to be written by the test using them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, LlamaFileType, TokenType

CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|reserved_0|>", "<|reserved_1|>")
END_OF_TEXT, IM_START, IM_END = 0, 1, 2
FIRST_BYTE = len(CONTROLS)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FILE_TYPES = {
    "F64": LlamaFileType.ALL_F32,
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
}


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """Shape, weights and vocabulary of one file.

    `logit_spread` is the standard deviation of the logits. `noise` adds that share of their own
    size to the output weights, drawn from `noise_seed`: a draft that often agrees with the model
    of the same `seed` without noise. Control tokens get logit 0, so that greedy text never ends,
    unless `can_end`. `sentencepiece` asks for another kind of vocabulary: `<s>`, `</s>`, bytes,
    letters, and a space in front of every text. `metadata` overrides or adds keys; None removes.
    """

    vocabulary_size: int = 512
    layers: int = 2
    width: int = 64
    heads: int = 2
    kv_heads: int = 1
    feed_forward: int = 128
    context: int = 512
    quantization: str = "Q4_0"
    seed: int = 0
    logit_spread: float = 4.0
    noise: float = 0.0
    noise_seed: int = 1
    nan: bool = False
    can_end: bool = False
    name: str = "tiny"
    chat_template: str | None = CHAT_TEMPLATE
    add_bos: bool = False
    sentencepiece: bool = False
    tokens: tuple[str, ...] | None = None
    control_texts: tuple[str, ...] = CONTROLS
    metadata: dict[str, Any] = field(default_factory=dict)


def write_tiny_gguf(path: Path, **changes: Any) -> Path:
    """Write the file of `TinyModel(**changes)` and return its path."""
    model = TinyModel(**changes)
    writer = gguf.GGUFWriter(path, "llama")
    _add_shape(writer, model)
    add_vocabulary(writer, model)
    for key, value in model.metadata.items():
        writer.kv_data[0].pop(key, None)
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
    for name, weight in _weights(model).items():
        kind = GGMLQuantizationType["F32" if weight.ndim == 1 else model.quantization]
        data = weight.astype("f8") if model.quantization == "F64" else gguf.quantize(weight, kind)
        writer.add_tensor(name, data, raw_dtype=None if model.quantization == "F64" else kind)
    write_file(writer)
    return path


def write_tiny_pair(
    folder: Path, quantization: str = "Q4_0", *, noise: float = 0.15, **changes: Any
) -> tuple[Path, Path]:
    """Write a target and a draft that agrees with it often, not always."""
    target = write_tiny_gguf(folder / "target.gguf", quantization=quantization, **changes)
    draft = write_tiny_gguf(
        folder / "draft.gguf", quantization=quantization, noise=noise, name="tiny-draft", **changes
    )
    return target, draft


def write_tiny_mamba(path: Path, *, width: int = 32, context: int = 256) -> Path:
    """Write a recurrent model: its memory cannot be cut."""
    model = TinyModel(context=context, quantization="F32", name="tiny-mamba")
    inner, state, rank, kernel = 2 * width, 8, 4, 4
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_name(model.name)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_ssm_conv_kernel(kernel)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    add_vocabulary(writer, model)
    random = np.random.default_rng(0)
    for name, shape in {
        "token_embd.weight": (model.vocabulary_size, width),
        "output_norm.weight": (width,),
        "blk.0.attn_norm.weight": (width,),
        "blk.0.ssm_in.weight": (2 * inner, width),
        "blk.0.ssm_conv1d.weight": (inner, kernel),
        "blk.0.ssm_conv1d.bias": (inner,),
        "blk.0.ssm_x.weight": (rank + 2 * state, inner),
        "blk.0.ssm_dt.weight": (inner, rank),
        "blk.0.ssm_dt.bias": (inner,),
        "blk.0.ssm_a": (inner, state),
        "blk.0.ssm_d": (inner,),
        "blk.0.ssm_out.weight": (width, inner),
    }.items():
        weight = random.normal(0, 0.3, shape)
        writer.add_tensor(name, (-abs(weight) if name.endswith("_a") else weight).astype("f4"))
    write_file(writer)
    return path


def byte_characters() -> list[str]:
    """Return the character that stands for each byte in a byte-level vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in shown else chr(next(hidden)) for byte in range(256)]


def write_file(writer: gguf.GGUFWriter) -> None:
    """Write what was added to the file, and close it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _byte_level(model: TinyModel) -> tuple[list[str], list[str]]:
    characters = byte_characters()
    letters = [characters[byte] for byte in b" etaoinshrdlucmfwygpbvk.,\n0123456789"]
    pairs = [(a, b) for a in letters for b in letters]
    extra = model.vocabulary_size - len(model.control_texts) - 256
    assert 0 <= extra <= len(pairs), "vocabulary_size out of range"
    tokens = [*model.control_texts, *characters, *(a + b for a, b in pairs[:extra])]
    return tokens, [f"{a} {b}" for a, b in pairs[:extra]]


def _add_shape(writer: gguf.GGUFWriter, model: TinyModel) -> None:
    head_size = model.width // model.heads
    writer.add_name(model.name)
    writer.add_file_type(FILE_TYPES[model.quantization])
    writer.add_vocab_size(model.vocabulary_size)
    writer.add_context_length(model.context)
    writer.add_embedding_length(model.width)
    writer.add_block_count(model.layers)
    writer.add_feed_forward_length(model.feed_forward)
    writer.add_head_count(model.heads)
    writer.add_head_count_kv(model.kv_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_layer_norm_rms_eps(1e-5)


def _add_sentencepiece(writer: gguf.GGUFWriter, model: TinyModel) -> None:
    letters = ["\u2581", *map(chr, range(33, 127))]
    words = [f"\u2581{first}{second}" for first in letters[1:] for second in letters[1:]]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    normal = model.vocabulary_size - 259
    tokens += words[: model.vocabulary_size - len(tokens)]
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([*types, *[TokenType.BYTE] * 256, *[TokenType.NORMAL] * normal])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(model.add_bos)
    if model.chat_template is not None:
        writer.add_chat_template(model.chat_template)


def add_vocabulary(writer: gguf.GGUFWriter, model: TinyModel) -> None:
    """Add the tokens of a model, and its chat template."""
    if model.sentencepiece:
        _add_sentencepiece(writer, model)
        return
    tokens, merges = _byte_level(model)
    controls = len(model.control_texts)
    normal = [TokenType.NORMAL] * (len(tokens) - controls)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(model.tokens or tokens))
    writer.add_token_types([TokenType.CONTROL] * controls + normal)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(END_OF_TEXT)
    writer.add_eos_token_id(IM_END)
    writer.add_eot_token_id(IM_END)
    writer.add_pad_token_id(END_OF_TEXT)
    writer.add_add_bos_token(model.add_bos)
    if model.chat_template is not None:
        writer.add_chat_template(model.chat_template)


def _shapes(model: TinyModel) -> dict[str, tuple[int, ...]]:
    width, size = model.width, model.width // model.heads
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (model.vocabulary_size, width),
        "output_norm.weight": (width,),
        "output.weight": (model.vocabulary_size, width),
    }
    for layer in range(model.layers):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (width,),
            f"blk.{layer}.attn_q.weight": (model.heads * size, width),
            f"blk.{layer}.attn_k.weight": (model.kv_heads * size, width),
            f"blk.{layer}.attn_v.weight": (model.kv_heads * size, width),
            f"blk.{layer}.attn_output.weight": (width, model.heads * size),
            f"blk.{layer}.ffn_norm.weight": (width,),
            f"blk.{layer}.ffn_gate.weight": (model.feed_forward, width),
            f"blk.{layer}.ffn_up.weight": (model.feed_forward, width),
            f"blk.{layer}.ffn_down.weight": (width, model.feed_forward),
        }
    return shapes


def _weights(model: TinyModel) -> dict[str, np.ndarray]:
    weights: dict[str, np.ndarray] = {}
    random = np.random.default_rng(model.seed)
    disturbance = np.random.default_rng(model.noise_seed)
    for name, shape in _shapes(model).items():
        if len(shape) == 1:
            weight = np.ones(shape)
        else:
            # Queries and keys are large so that attention is sharp and the text varied.
            scale = 3.0 if "attn_q" in name or "attn_k" in name else 1.5
            scale = 1.0 if name == "output.weight" else scale
            weight = random.normal(0, scale / np.sqrt(shape[1]), shape)
            if name == "output.weight":  # deeper noise is amplified by every layer and token
                weight += model.noise * disturbance.normal(0, scale / np.sqrt(shape[1]), shape)
        weights[name] = weight.astype(np.float32)
    weights["output_norm.weight"] *= np.nan if model.nan else model.logit_spread
    if not model.can_end:
        weights["output.weight"][: len(model.control_texts)] = 0
    return weights
