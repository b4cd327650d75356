"""Reading headers: what is sound is described, what is not is refused in one sentence."""

from __future__ import annotations

import os
import random
import tracemalloc

import gguf
import pytest

from config import ROOT
from tests.llama import fuzz_header
from tests.llama.raw_gguf import (
    ARRAY,
    BOOL,
    F32,
    I32,
    STRING,
    TOKENS,
    U32,
    RawGGUF,
    Tensor,
    text,
    value,
)
from tests.tiny_gguf import CHAT_TEMPLATE, CONTROLS, write_tiny_gguf
from utils.errors import ModelFileError
from utils.llama.gguf_header import estimate_memory_bytes, read_header
from utils.llama.gguf_types import FILE_TYPES, TENSOR_TYPES


@pytest.fixture
def read(tmp_path):
    """Write a file and read its header."""

    def write_and_read(raw: RawGGUF | bytes):
        path = tmp_path / "raw.gguf"
        path.write_bytes(raw.build() if isinstance(raw, RawGGUF) else raw)
        return read_header(path)

    return write_and_read


def test_a_header_tells_what_the_model_is(tiny_path):
    header = read_header(tiny_path)
    assert (header.architecture, header.name, header.quantization) == ("llama", "tiny", "Q4_0")
    assert (header.block_count, header.embedding_length, header.trained_context) == (2, 64, 512)
    assert (header.head_count, header.head_counts_kv) == (2, (1, 1))
    assert (header.key_length, header.value_length) == (32, 32)
    assert header.size_bytes == tiny_path.stat().st_size
    assert header.chat_template == CHAT_TEMPLATE
    assert not header.is_recurrent_or_hybrid
    vocabulary = header.vocabulary
    assert (vocabulary.kind, vocabulary.pre) == ("gpt2", "gpt-2")
    assert vocabulary.tokens[: len(CONTROLS)] == tuple(c.encode() for c in CONTROLS)
    assert len(vocabulary.tokens) == len(vocabulary.types) == 512
    assert (vocabulary.bos, vocabulary.eos) == (0, 2)
    assert (vocabulary.add_bos, vocabulary.add_eos) == (False, None)


def test_parameters_are_those_of_the_tensors(tiny_path):
    tensors = gguf.GGUFReader(tiny_path).tensors
    assert read_header(tiny_path).parameters == sum(int(t.n_elements) for t in tensors)


@pytest.mark.parametrize("quantization", ["F32", "F16", "Q8_0", "Q4_0"])
def test_the_file_type_is_named(tmp_path, quantization):
    path = write_tiny_gguf(tmp_path / "x.gguf", quantization=quantization)
    assert read_header(path).quantization == quantization


def test_without_a_file_type_the_commonest_tensor_type_counts(read):
    tensors = [Tensor("a", (64, 16), 1, size=2048), Tensor("b", (64,), 0, size=256)]
    assert read(RawGGUF(pairs={"general.file_type": None}, tensors=tensors)).quantization == "F16"


def test_the_tables_agree_with_those_of_the_format():
    sizes = {kind.value: size for kind, size in gguf.GGML_QUANT_SIZES.items()}
    names = {kind.value: kind.name for kind in gguf.GGMLQuantizationType}
    for number, kind in TENSOR_TYPES.items():
        if number in sizes:
            assert (kind.name, kind.block_size, kind.block_bytes) == (
                names[number],
                *sizes[number],
            )
    known = {kind.value: kind.name for kind in gguf.LlamaFileType}
    for number, name in FILE_TYPES.items():
        if number in known:
            assert known[number].removeprefix("ALL_").removeprefix("MOSTLY_").startswith(name)


def test_a_sound_file_built_by_hand_is_read(read):
    header = read(RawGGUF())
    assert header.vocabulary.tokens == tuple(token.encode() for token in TOKENS)
    assert (header.key_length, header.value_length) == (16, 16)
    assert header.name == "raw"


def test_heads_may_differ_by_layer(read):
    pairs = {"llama.attention.head_count_kv": (ARRAY, (I32, [2, 0]))}
    assert read(RawGGUF(pairs=pairs)).head_counts_kv == (2, 0)


def test_a_recurrent_architecture_is_noticed(read):
    assert read(RawGGUF(pairs={"llama.ssm.state_size": (U32, 8)})).is_recurrent_or_hybrid


def test_the_alignment_of_a_file_is_followed(read):
    raw = RawGGUF(alignment=256, pairs={"general.alignment": (U32, 256)}, tensors=[])
    raw.tensors = [Tensor("a", (5,), 0, size=20), Tensor("b", (7,), 0, size=28)]
    assert read(raw).parameters == 12


NESTED = text("x") + (9).to_bytes(4, "little") + (9).to_bytes(4, "little") + bytes(8)
WRONG = {
    "no GGUF": RawGGUF(magic=b"GGML"),
    "GGUF version 1": RawGGUF(version=1),
    "GGUF version 4": RawGGUF(version=4),
    "GGUF version 50331648": RawGGUF(version=3 << 24),
    f"{2**64 - 1} tensors": RawGGUF(tensor_count=2**64 - 1),
    f"{2**63} metadata pairs": RawGGUF(pair_count=2**63),
    "has no tensors": RawGGUF(tensors=[]),
    "0 dimensions for tensor ''": RawGGUF(tensor_count=60_000),
    "key '' twice|empty key": RawGGUF(extra=[text("") + value(U32, 1)]),
    "'general.architecture' twice": RawGGUF(
        extra=[text("general.architecture") + value(STRING, "x")]
    ),
    "bytes of metadata key": RawGGUF(extra=[text("k" * 2000) + value(U32, 1)]),
    "unknown type 13": RawGGUF(extra=[text("x") + (13).to_bytes(4, "little")]),
    "unknown type 9": RawGGUF(extra=[NESTED]),
    "alignment that is no power of two": RawGGUF(pairs={"general.alignment": (U32, 48)}),
    "'general.alignment' out of range: 0": RawGGUF(pairs={"general.alignment": (U32, 0)}),
    "'general.alignment' out of range: 2097152": RawGGUF(pairs={"general.alignment": (U32, 2**21)}),
    "no usable architecture": RawGGUF(pairs={"general.architecture": (STRING, "../x")}),
    "lacks the number 'llama.block_count'": RawGGUF(pairs={"llama.block_count": (F32, 2.0)}),
    "'llama.block_count' out of range: 513": RawGGUF(pairs={"llama.block_count": (U32, 513)}),
    "'llama.context_length' out of range: 0": RawGGUF(pairs={"llama.context_length": (U32, 0)}),
    "unusable numbers": RawGGUF(pairs={"llama.attention.head_count_kv": (ARRAY, (I32, [2]))}),
    "embedding model": RawGGUF(pairs={"llama.attention.causal": (BOOL, False)}),
    "one part of several": RawGGUF(pairs={"split.count": (U32, 3)}),
    "no vocabulary": RawGGUF(pairs={"tokenizer.ggml.tokens": None}),
    "no vocabulary, ": RawGGUF(pairs={"tokenizer.ggml.tokens": (ARRAY, (I32, [1, 2]))}),
    "token 't3' twice": RawGGUF(
        pairs={"tokenizer.ggml.tokens": (ARRAY, (STRING, [*TOKENS[:15], "t3"]))}
    ),
    "token 't3' twice$|token 't3' twice: ": RawGGUF(
        pairs={"tokenizer.ggml.tokens": (ARRAY, (STRING, [*TOKENS[:15], "t3\0x"]))}
    ),
    r"token '\[EMPTY_1\]' twice": RawGGUF(
        pairs={"tokenizer.ggml.tokens": (ARRAY, (STRING, ["[EMPTY_1]", "", *TOKENS[2:]]))}
    ),
    "16 tokens but 3 token types": RawGGUF(
        pairs={"tokenizer.ggml.token_type": (ARRAY, (I32, [1, 1, 1]))}
    ),
    "'tokenizer.ggml.eos_token_id' out of range: 16": RawGGUF(
        pairs={"tokenizer.ggml.eos_token_id": (U32, 16)}
    ),
    "in format 28": RawGGUF(tensors=[Tensor(kind=28, size=8192)]),
    "in format 4, ": RawGGUF(tensors=[Tensor(kind=4)]),
    "in format 4294967295": RawGGUF(tensors=[Tensor(kind=2**32 - 1)]),
    "0 dimensions": RawGGUF(tensors=[Tensor(shape=())]),
    "5 dimensions": RawGGUF(tensors=[Tensor(shape=(1, 1, 1, 1, 1))]),
    "impossible shape": RawGGUF(tensors=[Tensor(shape=(0, 16))]),
    r"impossible shape \[4294967296": RawGGUF(tensors=[Tensor(shape=(2**32, 2**32))]),
    r"impossible shape \[33": RawGGUF(tensors=[Tensor(shape=(33, 16), kind=2)]),
    "bytes of tensor name": RawGGUF(tensors=[Tensor(name="n" * 64)]),
    "two tensors of one name": RawGGUF(tensors=[Tensor(), Tensor()]),
    "at 64, not 0": RawGGUF(tensors=[Tensor(offset=64)]),
    "ends at byte": RawGGUF(tensors=[Tensor(shape=(64, 1024))]),
}


@pytest.mark.parametrize(("reason", "raw"), WRONG.items(), ids=[*WRONG])
def test_what_is_wrong_is_said(read, reason, raw):
    with pytest.raises(ModelFileError, match=reason) as caught:
        read(raw)
    assert "\n" not in str(caught.value)
    assert "'raw.gguf'" in str(caught.value)


def test_a_file_cut_anywhere_is_refused(read):
    whole = RawGGUF().build()
    for length in range(0, len(whole), 41):
        with pytest.raises(ModelFileError):
            read(whole[:length])


def test_a_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "fifo.gguf")
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_header(tmp_path / "fifo.gguf")


def test_other_things_than_files_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent", tmp_path / "x" / "y", tmp_path.joinpath("a\0b")):
        with pytest.raises(ModelFileError):
            read_header(path)
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    with pytest.raises(ModelFileError):
        read_header(tmp_path / "loop")


@pytest.mark.no_cover
def test_two_thousand_mutated_files_end_in_a_header_or_in_a_sentence(tmp_path):
    ends = [fuzz_header.read(path) for path in fuzz_header.cases(tmp_path, 2000, seed=1)]
    assert set(ends) == {"refused", "accepted"}


@pytest.mark.no_cover
def test_a_large_vocabulary_is_read_in_little_memory(tmp_path):
    choice = random.Random(0)
    tokens = [f"token{number:x}" * choice.randint(1, 2) for number in range(152_000)]
    merges = [f"a{number} b{number}" for number in range(152_000)]
    path = tmp_path / "large.gguf"
    pairs = {
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
        "tokenizer.ggml.token_type": (ARRAY, (I32, [1] * len(tokens))),
        "tokenizer.ggml.merges": (ARRAY, (STRING, merges)),
    }
    path.write_bytes(RawGGUF(pairs=pairs).build())
    tracemalloc.start()
    header = read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert header.vocabulary.tokens == tuple(token.encode() for token in tokens)
    assert peak < 64 * 2**20


def test_a_declared_size_costs_no_memory(read):
    huge = text("x") + (8).to_bytes(4, "little") + (2**22).to_bytes(8, "little")
    tracemalloc.start()
    with pytest.raises(ModelFileError, match="truncated"):
        read(RawGGUF(extra=[huge]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


def test_much_metadata_is_refused(read):
    extra = [text(f"k{number}") + value(STRING, "x" * 2**20) for number in range(20)]
    with pytest.raises(ModelFileError, match="bytes of metadata"):
        read(RawGGUF(extra=extra))


def test_memory_grows_with_the_context_up_to_the_trained_one(tiny_path):
    header = read_header(tiny_path)
    small, large = (estimate_memory_bytes(header, tokens) for tokens in (128, 512))
    assert large - small == 2 * (32 + 32) * 2 * (512 - 128)
    assert estimate_memory_bytes(header, 10**9) == large
    assert estimate_memory_bytes(header, 512, "q4_0") < estimate_memory_bytes(header, 512, "q8_0")
    assert small > header.size_bytes


def test_the_embedded_pair_has_sound_headers():
    for name in ("demo-target", "demo-draft"):
        header = read_header(ROOT / "models" / f"{name}.gguf")
        assert header.chat_template
        assert len(header.vocabulary.tokens) == 4096
