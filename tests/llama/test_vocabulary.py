"""Text to tokens and tokens to bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import ROOT, ModelOptions
from tests.llama.conftest import OPTIONS
from tests.tiny_gguf import CONTROLS, IM_END, IM_START, write_tiny_gguf
from utils.errors import ModelError
from utils.llama.model import LlamaModel


@pytest.fixture
def vocabulary(model):
    return model.vocabulary


def test_control_texts_become_control_tokens_only_when_asked(vocabulary):
    assert vocabulary.tokenize("<|im_start|>", parse_special=True) == [IM_START]
    plain = vocabulary.tokenize("<|im_start|>", parse_special=False)
    assert not set(plain) & vocabulary.control_ids
    assert vocabulary.detokenize(plain) == b"<|im_start|>"


def test_control_tokens_have_no_piece_but_a_text(vocabulary):
    assert vocabulary.piece(IM_START) == b""
    assert vocabulary.text(IM_START) == "<|im_start|>"
    assert set(vocabulary.control_texts) == set(CONTROLS)


def test_ends_of_answers_are_known(vocabulary):
    assert vocabulary.is_end(IM_END)
    assert not vocabulary.is_end(IM_START)
    assert not vocabulary.is_end(100)
    assert not vocabulary.is_end(-1)


@pytest.mark.parametrize("token_id", [-1, 512, 2**40])
def test_ids_out_of_range_are_refused(vocabulary, token_id):
    with pytest.raises(ModelError, match="out of range"):
        vocabulary.piece(token_id)
    with pytest.raises(ModelError, match="out of range"):
        vocabulary.text(token_id)


def test_the_first_token_is_added_when_asked(vocabulary):
    assert vocabulary.tokenize("a", parse_special=False, add_bos=True)[0] == vocabulary.bos
    assert not vocabulary.adds_bos


def test_an_empty_text_has_no_tokens(vocabulary):
    assert vocabulary.tokenize("", parse_special=True) == []


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_comes_back_from_its_tokens(shared_model, text):
    vocabulary = shared_model.vocabulary
    token_ids = vocabulary.tokenize(text, parse_special=False)
    assert vocabulary.detokenize(token_ids) == text.encode("utf-8", "replace")


def test_every_byte_is_a_piece_of_its_own(vocabulary):
    pieces = {vocabulary.piece(token_id) for token_id in range(vocabulary.size)}
    assert {bytes([byte]) for byte in range(256)} <= pieces


def test_a_piece_longer_than_any_buffer_is_whole(tmp_path):
    long = "x" * 300
    tokens = [*CONTROLS, long, *(f"t{n}" for n in range(506))]
    path = write_tiny_gguf(tmp_path / "long.gguf", tokens=tuple(tokens))
    with LlamaModel.open(path, OPTIONS) as model:
        assert model.vocabulary.piece(len(CONTROLS)) == long.encode()


def test_a_word_is_not_taken_for_a_first_token():
    # The embedded models name no first token; llama.cpp then assumes an id that is a word.
    path = ROOT / "models" / "demo-draft.gguf"
    with LlamaModel.open(path, ModelOptions(context_tokens=64)) as model:
        assert model.vocabulary.bos is None
        token_ids = model.vocabulary.tokenize("Hello", parse_special=False)
        assert model.vocabulary.tokenize("Hello", parse_special=False, add_bos=True) == token_ids
