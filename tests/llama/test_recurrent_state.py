"""What headers say of the state of recurrent layers."""

from __future__ import annotations

import pytest

from utils.llama.recurrent_state import (
    MOST_SNAPSHOTS,
    attention_heads,
    count_snapshots,
    estimate_state_bytes,
)

MAMBA = {
    "ssm.inner_size": 1536,
    "ssm.state_size": 16,
    "ssm.conv_kernel": 4,
}


def state_bytes(architecture: str, pairs: dict[str, object], heads_kv=(0, 0), width=768) -> int:
    own = {f"{architecture}.{key}": value for key, value in pairs.items()}
    return estimate_state_bytes(own, architecture, width=width, heads_kv=heads_kv)


def test_every_kind_of_state_has_its_size():
    assert state_bytes("llama", {}, (2, 2)) == 0
    assert state_bytes("mamba", MAMBA) == 4 * 2 * (16 * 1536 + 3 * 1536)
    grouped = MAMBA | {"ssm.group_count": 8}
    assert state_bytes("qwen35", grouped) == 4 * 2 * (16 * 1536 + 3 * (1536 + 2 * 8 * 16))
    assert state_bytes("lfm2", {"shortconv.l_cache": 3}, (0, 8, 0)) == 4 * 2 * 768 * 2
    assert state_bytes("rwkv6", {"wkv.head_size": 64}) == 4 * 2 * 768 * (64 + 2)


def test_layers_with_attention_alone_have_no_state():
    assert state_bytes("qwen35", MAMBA, (0, 0, 0, 2)) == 1.5 * state_bytes("qwen35", MAMBA)
    # In others each layer has both.
    assert state_bytes("falcon-h1", MAMBA, (2, 2)) == state_bytes("mamba", MAMBA)


def test_feed_forward_layers_have_no_state():
    pairs = MAMBA | {"feed_forward_length": (0, 0, 512, 0)}
    assert state_bytes("nemotron_h", pairs, (0, 2, 0, 0)) == state_bytes("mamba", MAMBA)


def test_layers_with_a_state_instead_have_no_cache():
    assert attention_heads({}, "llama", (2, 2, 2, 2)) == (2, 2, 2, 2)
    assert attention_heads({}, "qwen35", (2,) * 8) == (0, 0, 0, 2) * 2
    assert attention_heads({"x.full_attention_interval": 2}, "x", (2,) * 4) == (0, 2) * 2
    marked = {"qwen35.attention.recurrent_layers": (True, False, True)}
    assert attention_heads(marked, "qwen35", (2, 2, 2)) == (0, 2, 0)


@pytest.mark.parametrize("number", [True, -1, 2**40, "four", 0.5, (1, 2), None])
def test_numbers_that_are_none_count_for_nothing(number):
    assert state_bytes("mamba", MAMBA | {"ssm.state_size": number}) == 4 * 2 * 3 * 1536
    assert attention_heads({"x.full_attention_interval": number}, "x", (2, 2)) == (2, 2)


def test_snapshots_take_a_tenth_of_the_weights_at_most():
    assert count_snapshots("qwen35", 19_000_000, 530_000_000) == 2
    assert count_snapshots("qwen35", 50_000_000, 5_600_000_000) == 11
    assert count_snapshots("lfm2", 10_000, 700_000_000) == MOST_SNAPSHOTS
    assert count_snapshots("qwen35", 10**12, 10**9) == 0


def test_there_are_snapshots_only_where_llama_cpp_keeps_some():
    assert count_snapshots("mamba", 10_000, 10**9) == 0
    assert count_snapshots("qwen35", 0, 10**9) == 0
