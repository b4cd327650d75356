"""Valid GGUF files of hybrid architectures: attention beside layers that carry a state along."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType

from tests.tiny_gguf import TinyModel, add_vocabulary, write_file

WIDTH, HEADS, KV_HEADS = 64, 2, 1
# Wide, so that a state is small beside the weights: it is by them that snapshots are counted.
FEED_FORWARD, MLP = 1024, 6144
HEAD = WIDTH // HEADS
KERNEL, STATE, STATE_HEADS = 4, 16, 2
INNER = STATE * STATE_HEADS
CHANNELS = INNER + 2 * STATE
ARCHITECTURES = ("lfm2", "qwen35", "nemotron_h")

Shapes = dict[str, tuple[int, ...]]


def write_tiny_hybrid(
    path: Path,
    architecture: str,
    *,
    quantization: str = "Q4_0",
    context: int = 512,
    seed: int = 0,
    noise: float = 0.0,
) -> Path:
    """Write a hybrid of that architecture; `noise` is that of `TinyModel`."""
    model = TinyModel(context=context, quantization=quantization, seed=seed, name=architecture)
    writer = gguf.GGUFWriter(path, architecture)
    _add_shape(writer, model, architecture)
    add_vocabulary(writer, model)
    random, disturbance = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    for name, shape in _shapes(architecture, model.vocabulary_size).items():
        weight = _weight(name, shape, random)
        if name == "output.weight":
            weight += noise * disturbance.normal(0, weight.std(), shape).astype("f4")
            weight[: len(model.control_texts)] = 0
        fits = weight.ndim > 1 and shape[-1] % 32 == 0 and "norm" not in name
        kind = GGMLQuantizationType[quantization if fits else "F32"]
        writer.add_tensor(name, gguf.quantize(weight, kind), raw_dtype=kind)
    write_file(writer)
    return path


def _add_shape(writer: gguf.GGUFWriter, model: TinyModel, architecture: str) -> None:
    writer.add_name(model.name)
    writer.add_context_length(model.context)
    writer.add_embedding_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    writer.add_vocab_size(model.vocabulary_size)
    if architecture == "lfm2":
        writer.add_block_count(3)
        writer.add_head_count_kv([0, KV_HEADS, 0])
        writer.add_feed_forward_length(FEED_FORWARD)
        writer.add_uint32("lfm2.shortconv.l_cache", KERNEL)
        return
    writer.add_ssm_conv_kernel(KERNEL)
    writer.add_ssm_inner_size(INNER)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(STATE_HEADS)
    writer.add_ssm_group_count(1)
    if architecture == "qwen35":
        writer.add_block_count(3)
        writer.add_head_count_kv(KV_HEADS)
        writer.add_feed_forward_length(FEED_FORWARD)
        writer.add_uint32("qwen35.full_attention_interval", 2)
        writer.add_array("qwen35.rope.dimension_sections", [6, 5, 5, 0])
    else:
        writer.add_block_count(4)
        writer.add_head_count_kv([0, KV_HEADS, 0, 0])
        writer.add_feed_forward_length([0, 0, MLP, 0])


def _shapes(architecture: str, vocabulary_size: int) -> Shapes:
    norm = "token_embd_norm" if architecture == "lfm2" else "output_norm"
    shapes: Shapes = {
        "token_embd.weight": (vocabulary_size, WIDTH),
        f"{norm}.weight": (WIDTH,),
        "output.weight": (vocabulary_size, WIDTH),
    }
    for layer, parts in enumerate(_LAYERS[architecture]):
        for part in parts:
            shapes |= {f"blk.{layer}.{name}": shape for name, shape in part.items()}
    return shapes


def _weight(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if name.endswith("ssm_a"):
        weight = -random.uniform(0.1, 1.0, shape)
    elif name.endswith("bias"):
        weight = random.normal(0, 0.1, shape)
    elif len(shape) == 1 or "norm" in name:
        weight = np.full(shape, 4.0 if name.split(".")[0] != "blk" else 1.0)
    else:
        # Queries and keys are large so that attention is sharp and the text varied.
        scale = 3.0 if "attn_q" in name or "attn_k" in name else 1.5
        scale = 1.0 if name == "output.weight" else scale
        weight = random.normal(0, scale / np.sqrt(shape[-1]), shape)
    return weight.astype(np.float32)


_NORM: Shapes = {"attn_norm.weight": (WIDTH,)}
_ATTENTION: Shapes = {
    "attn_q.weight": (WIDTH, WIDTH),
    "attn_k.weight": (KV_HEADS * HEAD, WIDTH),
    "attn_v.weight": (KV_HEADS * HEAD, WIDTH),
    "attn_output.weight": (WIDTH, WIDTH),
}
_HEAD_NORMS: Shapes = {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}
_FEED_FORWARD: Shapes = {
    "ffn_gate.weight": (FEED_FORWARD, WIDTH),
    "ffn_up.weight": (FEED_FORWARD, WIDTH),
    "ffn_down.weight": (WIDTH, FEED_FORWARD),
}
_CONVOLUTION: Shapes = {
    "shortconv.conv.weight": (WIDTH, KERNEL),
    "shortconv.in_proj.weight": (3 * WIDTH, WIDTH),
    "shortconv.out_proj.weight": (WIDTH, WIDTH),
}
_DELTA_NET: Shapes = {
    "attn_qkv.weight": (CHANNELS, WIDTH),
    "attn_gate.weight": (INNER, WIDTH),
    "ssm_conv1d.weight": (CHANNELS, KERNEL),
    "ssm_dt.bias": (STATE_HEADS,),
    "ssm_a": (STATE_HEADS,),
    "ssm_beta.weight": (STATE_HEADS, WIDTH),
    "ssm_alpha.weight": (STATE_HEADS, WIDTH),
    "ssm_norm.weight": (STATE,),
    "ssm_out.weight": (WIDTH, INNER),
}
_MAMBA: Shapes = {
    "ssm_in.weight": (2 * INNER + 2 * STATE + STATE_HEADS, WIDTH),
    "ssm_conv1d.weight": (CHANNELS, KERNEL),
    "ssm_conv1d.bias": (CHANNELS,),
    "ssm_dt.bias": (STATE_HEADS,),
    "ssm_a": (STATE_HEADS, 1),
    "ssm_d": (STATE_HEADS, 1),
    "ssm_norm.weight": (1, INNER),
    "ssm_out.weight": (WIDTH, INNER),
}
_GATED = _ATTENTION | {"attn_q.weight": (2 * WIDTH, WIDTH)} | _HEAD_NORMS
_FFN_NORM: Shapes = {"ffn_norm.weight": (WIDTH,)}
_POST_NORM: Shapes = {"post_attention_norm.weight": (WIDTH,)}
_MLP_ONLY: Shapes = {"ffn_up.weight": (MLP, WIDTH), "ffn_down.weight": (WIDTH, MLP)}
_LAYERS: dict[str, list[tuple[Shapes, ...]]] = {
    "lfm2": [
        (_NORM, mixer, _FFN_NORM, _FEED_FORWARD)
        for mixer in (_CONVOLUTION, _ATTENTION | _HEAD_NORMS, _CONVOLUTION)
    ],
    "qwen35": [
        (_NORM, mixer, _POST_NORM, _FEED_FORWARD) for mixer in (_DELTA_NET, _GATED, _DELTA_NET)
    ],
    "nemotron_h": [(_NORM, part) for part in (_MAMBA, _ATTENTION, _MLP_ONLY, _MAMBA)],
}
