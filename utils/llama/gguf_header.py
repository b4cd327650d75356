"""What a GGUF file says about its model, read and checked without llama.cpp.

llama.cpp ends the process on some malformed files; nothing native may see a file before this did.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from utils.errors import ModelFileError
from utils.llama.gguf_reader import (
    MAX_KEPT_ARRAY,
    MAX_KEY_BYTES,
    MAX_PAIRS,
    MAX_TENSORS,
    MAX_TOKENS,
    GGUFReader,
    TensorInfo,
    Value,
)
from utils.llama.gguf_types import CACHE_BYTES, FILE_TYPES
from utils.llama.recurrent_state import attention_heads, count_snapshots, estimate_state_bytes
from utils.llama.step_weights import count_layer_parameters, count_step_bytes

MAX_BLOCKS = 512
MAX_ALIGNMENT = 2**20
MAX_CONTEXT = 2**31 - 1
_VERSIONS = (2, 3)
_TOKENS, _TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_RECURRENT = ("ssm.", "wkv.", "shortconv.", "kda.", "token_shift_count")
_WORK_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True, weakref_slot=True)
class VocabularyHeader:
    """The tokens of a model, as written in its file."""

    kind: str
    pre: str
    tokens: tuple[bytes, ...] = field(repr=False)
    types: tuple[int, ...] = field(repr=False)
    bos: int | None
    eos: int | None
    add_bos: bool | None
    add_eos: bool | None


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """A checked header.

    `head_counts_kv` has one number a layer, 0 where there is no cache. Recurrent layers have a
    state of `state_bytes` together; it is kept for the newest token and `snapshots` before it.
    `step_bytes` of the weights are read for one token, `layer_parameters` are not in its tables.
    """

    path: Path
    size_bytes: int
    step_bytes: int
    architecture: str
    name: str
    quantization: str
    parameters: int
    layer_parameters: int
    trained_context: int
    block_count: int
    embedding_length: int
    head_count: int
    head_counts_kv: tuple[int, ...]
    key_length: int
    value_length: int
    vocabulary: VocabularyHeader = field(repr=False)
    chat_template: str | None = field(repr=False)
    is_recurrent_or_hybrid: bool
    state_bytes: int
    snapshots: int


def read_header(path: Path) -> GGUFHeader:
    """Read and check the header of a GGUF file, or raise `ModelFileError` saying what is wrong."""
    with GGUFReader(path) as reader:
        if reader.take(min(4, reader.size_bytes)) != b"GGUF":
            raise reader.error("is no GGUF")
        version = reader.u32()
        if version not in _VERSIONS:
            raise reader.error(f"has GGUF version {version}, which is not supported")
        tensor_count = reader.count(MAX_TENSORS, "tensors")
        metadata = _Metadata(reader, _read_pairs(reader))
        tensors = [reader.tensor() for _ in range(tensor_count)]
        _check_layout(reader, tensors, _alignment(metadata))
        return _describe(path, reader, metadata, tensors)


def estimate_memory_bytes(header: GGUFHeader, context_tokens: int, cache_type: str = "f16") -> int:
    """Estimate the memory that a model with this context takes: weights, cache and buffers."""
    cache = estimate_cache_bytes(header, context_tokens, cache_type)
    logits = 4 * len(header.vocabulary.tokens) * 32
    return header.size_bytes + cache + logits + _WORK_BYTES


def estimate_cache_bytes(header: GGUFHeader, context_tokens: int, cache_type: str = "f16") -> int:
    """Estimate the memory that the KV cache of a context takes, and the states if there are any."""
    tokens = min(context_tokens, header.trained_context)
    numbers = sum(header.head_counts_kv) * (header.key_length + header.value_length) * tokens
    # The newest state, those before it, and one that the session keeps.
    states = header.state_bytes * (2 + header.snapshots)
    return int(numbers * CACHE_BYTES[cache_type]) + states


class _Metadata:
    """Typed look-up in the key-value pairs."""

    def __init__(self, reader: GGUFReader, pairs: dict[str, Value | None]) -> None:
        self._reader = reader
        self.pairs = pairs

    def number(self, key: str, *, low: int, high: int, default: int | None = None) -> int:
        value = self.pairs.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"lacks the number {key!r}")
        if not low <= value <= high:
            raise self.error(f"has {key!r} out of range: {value}, not {low} to {high}")
        return value

    def text(self, key: str, default: str | None = None) -> str | None:
        value = self.pairs.get(key)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else default

    def flag(self, key: str) -> bool | None:
        value = self.pairs.get(key)
        return value if isinstance(value, bool) else None

    def optional_id(self, key: str, count: int) -> int | None:
        if key not in self.pairs:
            return None
        return self.number(key, low=0, high=count - 1)

    def error(self, problem: str) -> ModelFileError:
        return self._reader.error(problem)


def _read_pairs(reader: GGUFReader) -> dict[str, Value | None]:
    pairs: dict[str, Value | None] = {}
    for _ in range(reader.count(MAX_PAIRS, "metadata pairs")):
        key = reader.text(MAX_KEY_BYTES, "metadata key").decode("utf-8", "replace")
        if not key or key in pairs:
            raise reader.error(f"has the metadata key {key!r} twice" if key else "has an empty key")
        kept = MAX_TOKENS if key in (_TOKENS, _TYPES) else MAX_KEPT_ARRAY
        pairs[key] = reader.value(key, kept_array=kept)
    return pairs


def _alignment(metadata: _Metadata) -> int:
    alignment = metadata.number("general.alignment", low=1, high=MAX_ALIGNMENT, default=32)
    if alignment & (alignment - 1):
        raise metadata.error(f"has an alignment that is no power of two: {alignment}")
    return alignment


def _check_layout(reader: GGUFReader, tensors: list[TensorInfo], alignment: int) -> None:
    if not tensors:
        raise reader.error("has no tensors")
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise reader.error("has two tensors of one name")
    start, expected = _pad(reader.offset, alignment), 0
    for tensor in tensors:
        if tensor.offset != expected:
            raise reader.error(f"has tensor {tensor.name!r} at {tensor.offset}, not {expected}")
        end = start + tensor.offset + tensor.size_bytes
        if end > reader.size_bytes:
            raise reader.error(
                f"is truncated: tensor {tensor.name!r} ends at byte {end} of {reader.size_bytes}"
            )
        expected += _pad(tensor.size_bytes, alignment)


def _describe(
    path: Path, reader: GGUFReader, metadata: _Metadata, tensors: list[TensorInfo]
) -> GGUFHeader:
    if metadata.number("split.count", low=0, high=2**16, default=0) > 1:
        raise metadata.error("is one part of several: merge them with llama-gguf-split first")
    arch = metadata.text("general.architecture") or ""
    if not _ARCHITECTURE.fullmatch(arch):
        raise metadata.error(f"has no usable architecture: {arch[:64]!r}")
    if metadata.flag(f"{arch}.attention.causal") is False:
        raise metadata.error(f"is an embedding model, not a chat model: {arch}")
    blocks = metadata.number(f"{arch}.block_count", low=1, high=MAX_BLOCKS)
    width = metadata.number(f"{arch}.embedding_length", low=1, high=2**20)
    heads = _layer_numbers(metadata, f"{arch}.attention.head_count", blocks, 0)
    heads_kv = _layer_numbers(metadata, f"{arch}.attention.head_count_kv", blocks, heads[0])
    heads_kv = attention_heads(metadata.pairs, arch, heads_kv)
    state_bytes = estimate_state_bytes(metadata.pairs, arch, width=width, heads_kv=heads_kv)
    head_size = width // max(heads) if max(heads) else 0
    key_length = metadata.number(
        f"{arch}.attention.key_length", low=0, high=2**16, default=head_size
    )
    return GGUFHeader(
        path=path,
        size_bytes=reader.size_bytes,
        step_bytes=count_step_bytes(metadata.pairs, arch, tensors),
        architecture=arch,
        name=metadata.text("general.name") or path.stem,
        quantization=_quantization(metadata, tensors),
        parameters=sum(tensor.elements for tensor in tensors),
        layer_parameters=count_layer_parameters(tensors),
        trained_context=metadata.number(f"{arch}.context_length", low=1, high=MAX_CONTEXT),
        block_count=blocks,
        embedding_length=width,
        head_count=max(heads),
        head_counts_kv=heads_kv,
        key_length=key_length,
        value_length=metadata.number(
            f"{arch}.attention.value_length", low=0, high=2**16, default=key_length
        ),
        vocabulary=_read_vocabulary(metadata),
        chat_template=metadata.text("tokenizer.chat_template"),
        is_recurrent_or_hybrid=arch.startswith("rwkv")
        or any(
            key.startswith(tuple(f"{arch}.{part}" for part in _RECURRENT)) for key in metadata.pairs
        ),
        state_bytes=state_bytes,
        snapshots=count_snapshots(arch, state_bytes, reader.size_bytes),
    )


def _layer_numbers(metadata: _Metadata, key: str, blocks: int, default: int) -> tuple[int, ...]:
    value = metadata.pairs.get(key)
    if isinstance(value, tuple):
        numbers = tuple(item for item in value if isinstance(item, int) and 0 <= item < 2**16)
        if len(numbers) != len(value) or len(numbers) < blocks:
            raise metadata.error(f"has unusable numbers in {key!r}")
        return numbers[:blocks]
    return (metadata.number(key, low=0, high=2**16, default=default),) * blocks


def _quantization(metadata: _Metadata, tensors: list[TensorInfo]) -> str:
    number = metadata.pairs.get("general.file_type")
    if isinstance(number, int) and number in FILE_TYPES:
        return FILE_TYPES[number]
    elements: Counter[str] = Counter()
    for tensor in tensors:
        elements[tensor.kind.name] += tensor.elements
    return elements.most_common(1)[0][0]


def _read_vocabulary(metadata: _Metadata) -> VocabularyHeader:
    tokens = metadata.pairs.get(_TOKENS)
    texts = tuple(t for t in tokens if isinstance(t, bytes)) if isinstance(tokens, tuple) else ()
    if not texts or not isinstance(tokens, tuple) or len(texts) != len(tokens):
        raise metadata.error(f"has no vocabulary, or one of more than {MAX_TOKENS} tokens")
    _check_unique(metadata, texts)
    types = metadata.pairs.get(_TYPES)
    kinds = tuple(t for t in types if isinstance(t, int)) if isinstance(types, tuple) else ()
    if kinds and len(kinds) != len(texts):
        raise metadata.error(f"has {len(texts)} tokens but {len(kinds)} token types")
    return VocabularyHeader(
        kind=metadata.text("tokenizer.ggml.model", "") or "",
        pre=metadata.text("tokenizer.ggml.pre", "") or "",
        tokens=texts,
        types=kinds,
        bos=metadata.optional_id("tokenizer.ggml.bos_token_id", len(texts)),
        eos=metadata.optional_id("tokenizer.ggml.eos_token_id", len(texts)),
        add_bos=metadata.flag("tokenizer.ggml.add_bos_token"),
        add_eos=metadata.flag("tokenizer.ggml.add_eos_token"),
    )


def _check_unique(metadata: _Metadata, texts: tuple[bytes, ...]) -> None:
    # llama.cpp reads C strings and names empty ones by their id: compare what it will see.
    seen: set[bytes] = set()
    for index, text in enumerate(texts):
        word = text.partition(b"\0")[0] if b"\0" in text else text
        word = word or b"[EMPTY_%d]" % index
        if word in seen:
            raise metadata.error(f"has the token {word.decode('utf-8', 'replace')!r} twice")
        seen.add(word)


def _pad(number: int, alignment: int) -> int:
    return (number + alignment - 1) // alignment * alignment
