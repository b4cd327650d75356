"""Which weights a token needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_gguf import write_tiny_gguf
from utils.llama.gguf_header import read_header
from utils.llama.gguf_reader import TensorInfo
from utils.llama.gguf_types import TENSOR_TYPES
from utils.llama.step_weights import count_layer_parameters, count_step_bytes


def tensor(name: str, size_bytes: int) -> TensorInfo:
    return TensorInfo(name, next(iter(TENSOR_TYPES.values())), size_bytes // 2, size_bytes, 0)


EMBEDDINGS, OUTPUT = tensor("token_embd.weight", 1000), tensor("output.weight", 800)
LAYER = tensor("blk.0.ffn_up.weight", 300)
EXPERTS = tensor("blk.0.ffn_up_exps.weight", 6400)
MORE = tensor("per_layer_token_embd.weight", 50_000)


def test_embeddings_are_looked_up_unless_they_are_the_output_too() -> None:
    assert count_step_bytes({}, "llama", [EMBEDDINGS, LAYER, OUTPUT]) == 1100
    assert count_step_bytes({}, "llama", [EMBEDDINGS, LAYER]) == 1300
    assert count_step_bytes({}, "gemma3n", [EMBEDDINGS, MORE, LAYER]) == 1300


def test_of_experts_those_count_that_are_asked() -> None:
    pairs = {"qwen3moe.expert_count": 64, "qwen3moe.expert_used_count": 4}
    assert count_step_bytes(pairs, "qwen3moe", [EXPERTS, LAYER]) == 700


@pytest.mark.parametrize(("asked", "experts"), [(0, 64), (65, 64), (4, 0), ("4", 64), (None, 64)])
def test_what_a_file_cannot_mean_by_its_experts_is_left_out(asked: object, experts: int) -> None:
    pairs = {"llama.expert_count": experts, "llama.expert_used_count": asked}
    assert count_step_bytes(pairs, "llama", [EXPERTS, LAYER]) == 6700


def test_tables_are_no_layers() -> None:
    assert count_layer_parameters([EMBEDDINGS, LAYER, OUTPUT]) == 150


def test_a_header_says_what_a_token_needs(tmp_path: Path) -> None:
    header = read_header(write_tiny_gguf(tmp_path / "tiny.gguf"))
    assert 0 < header.step_bytes < header.size_bytes
    assert 0 < header.layer_parameters < header.parameters
