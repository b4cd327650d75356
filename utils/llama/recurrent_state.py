"""The state that recurrent layers carry along: what it takes, and how often it is kept."""

from __future__ import annotations

from collections.abc import Mapping

# Where llama.cpp can go back to the states after the last tokens of a pass (`n_rs_seq`).
SNAPSHOT_ARCHITECTURES = frozenset(
    {"lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "qwen35", "qwen35moe"}
)
MOST_SNAPSHOTS = 16
# Drafting may take a fifth of a model's memory; the draft takes its half of that.
SNAPSHOT_SHARE = 0.1
_LARGEST = 2**31
_QWEN_INTERVAL = 4
_NUMBER_BYTES = 4

Pairs = Mapping[str, object]


def attention_heads(pairs: Pairs, architecture: str, heads_kv: tuple[int, ...]) -> tuple[int, ...]:
    """Return the heads that have a cache, layer by layer: 0 in a layer that has a state instead."""
    marked = pairs.get(f"{architecture}.attention.recurrent_layers")
    if isinstance(marked, tuple) and len(marked) >= len(heads_kv):
        return tuple(0 if mark else heads for mark, heads in zip(marked, heads_kv, strict=False))
    usual = _QWEN_INTERVAL if architecture.startswith("qwen35") else 0
    interval = _number(pairs, f"{architecture}.full_attention_interval", usual)
    if not interval:
        return heads_kv
    return tuple(0 if layer % interval else heads for layer, heads in enumerate(heads_kv, start=1))


def estimate_state_bytes(
    pairs: Pairs, architecture: str, *, width: int, heads_kv: tuple[int, ...]
) -> int:
    """Return what the state of all layers takes, as llama.cpp lays it out; 0 where there is none.

    `heads_kv` are those of `attention_heads`, `width` is the length of an embedding.
    """

    def number(key: str, default: int = 0) -> int:
        return _number(pairs, f"{architecture}.{key}", default)

    if head_size := number("wkv.head_size"):
        numbers = width * (head_size + number("token_shift_count", 2))
    elif reach := number("shortconv.l_cache"):
        numbers = width * (reach - 1)
    else:
        inner, state = number("ssm.inner_size"), number("ssm.state_size")
        channels = inner + 2 * number("ssm.group_count") * state
        numbers = state * inner + max(0, number("ssm.conv_kernel") - 1) * channels
    return _NUMBER_BYTES * numbers * _count_layers(pairs, architecture, heads_kv)


def count_snapshots(architecture: str, state_bytes: int, size_bytes: int) -> int:
    """Return how many states before the newest are kept of a model of that size, if any can be."""
    if architecture not in SNAPSHOT_ARCHITECTURES or not state_bytes:
        return 0
    return min(MOST_SNAPSHOTS, int(SNAPSHOT_SHARE * size_bytes) // state_bytes)


def _count_layers(pairs: Pairs, architecture: str, heads_kv: tuple[int, ...]) -> int:
    if 0 not in heads_kv:
        return len(heads_kv)
    widths = pairs.get(f"{architecture}.feed_forward_length")
    if architecture.startswith("nemotron_h") and isinstance(widths, tuple):
        # A layer without attention and with a width is a feed-forward one.
        return sum(not heads and not wide for heads, wide in zip(heads_kv, widths, strict=False))
    return heads_kv.count(0)


def _number(pairs: Pairs, key: str, default: int) -> int:
    value = pairs.get(key, default)
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
    return value if sound and isinstance(value, int) else default
