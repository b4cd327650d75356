"""Decoding, taking tokens back and refusing what would end the process."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from config import ModelOptions
from tests.llama.conftest import OPTIONS
from tests.tiny_gguf import write_tiny_gguf, write_tiny_mamba
from utils.errors import ModelError
from utils.llama.model import LlamaModel
from utils.llama.session import ABORTABLE_TOKENS
from utils.model_session import DecodeAborted

TEXT = list(range(5, 205))


def decode_singly(model, token_ids):
    return np.concatenate([model.session.decode([t], rows=1).copy() for t in token_ids])


def last_row(model, token_ids):
    """Logits after the tokens, from an empty cache."""
    model.session.rollback(0)
    for start in range(0, len(token_ids) - 1, 64):
        model.session.decode(token_ids[:-1][start : start + 64], rows=0)
    return model.session.decode(token_ids[-1:], rows=1)[0].copy()


def test_decode_appends_to_what_is_cached(model):
    logits = model.session.decode(TEXT[:5], rows=2)
    assert logits.shape == (2, 512)
    assert logits.dtype == np.float32
    assert list(model.session.cached) == TEXT[:5]
    assert model.session.decode([7], rows=0).shape == (0, 512)
    assert list(model.session.cached) == [*TEXT[:5], 7]


@pytest.mark.parametrize("width", [2, 3, 4, 8, 17])
def test_rows_of_a_batch_equal_single_decodes_bit_for_bit(model, width):
    token_ids = TEXT[: 6 * width]
    single = decode_singly(model, token_ids)
    model.session.rollback(0)
    for start in range(0, len(token_ids), width):
        rows = model.session.decode(token_ids[start : start + width], rows=width)
        assert np.array_equal(rows, single[start : start + width])


def test_the_last_rows_are_those_asked_for(model):
    single = decode_singly(model, TEXT[:8])
    model.session.rollback(0)
    assert np.array_equal(model.session.decode(TEXT[:8], rows=3), single[5:])


def test_logits_stay_where_they_are(model):
    first = model.session.decode(TEXT[:17], rows=17)
    model.session.decode(TEXT[:64], rows=0)
    again = model.session.decode(TEXT[:9], rows=9)
    assert first.ctypes.data == again.ctypes.data


def test_decoding_after_a_rollback_equals_a_fresh_cache_bit_for_bit(model):
    choice = random.Random(0)
    for _ in range(50):
        kept, dropped, added = (choice.choices(TEXT, k=choice.randint(1, 60)) for _ in range(3))
        model.session.rollback(0)
        model.session.decode(kept, rows=0)
        fresh = model.session.decode(added, rows=1)[0].copy()
        model.session.rollback(0)
        for part in (kept, dropped):
            model.session.decode(part, rows=0)
        model.session.rollback(len(kept))
        assert list(model.session.cached) == kept
        assert np.array_equal(model.session.decode(added, rows=1)[0], fresh)


@pytest.mark.parametrize(
    ("token_ids", "rows", "reason"),
    [
        ([], 0, "takes 1 to 64"),
        ([5] * 65, 0, "takes 1 to 64"),
        ([-1], 1, "token id is out of range: -1 of 512"),
        ([5, 512], 1, "token id is out of range: 512 of 512"),
        ([2**40], 1, "token id is out of range"),
        ([5], 2, "2 rows"),
        ([5], -1, "-1 rows"),
        ([5] * 18, 18, "18 rows"),
    ],
)
def test_a_batch_that_would_end_the_process_is_refused(model, token_ids, rows, reason):
    model.session.decode(TEXT[:3], rows=0)
    with pytest.raises(ModelError, match=reason):
        model.session.decode(token_ids, rows=rows)
    assert list(model.session.cached) == TEXT[:3]
    assert np.isfinite(model.session.decode([9], rows=1)).all()


def test_the_context_can_be_filled_but_not_overfilled(model):
    for _ in range(4):
        model.session.decode(TEXT[:64], rows=0)
    with pytest.raises(ModelError, match="context is full: 256 \\+ 1 tokens of 256"):
        model.session.decode([5], rows=1)
    model.session.rollback(255)
    assert np.isfinite(model.session.decode([5], rows=1)).all()


@pytest.mark.parametrize("length", [-1, -(2**31), 6])
def test_a_rollback_out_of_range_is_refused_and_loses_nothing(model, length):
    model.session.decode(TEXT[:5], rows=0)
    with pytest.raises(ModelError, match="out of range"):
        model.session.rollback(length)
    assert np.array_equal(model.session.decode([7], rows=1)[0], last_row(model, [*TEXT[:5], 7]))


def test_a_rollback_to_everything_does_nothing(model):
    model.session.decode(TEXT[:5], rows=0)
    model.session.rollback(5)
    assert list(model.session.cached) == TEXT[:5]


def test_only_the_thread_that_opened_it_may_use_a_session(model):
    refused: list[str] = []

    def use() -> None:
        for call in (
            lambda: model.session.decode([5], rows=1),
            lambda: model.session.rollback(0),
            lambda: model.session.clear(),
            lambda: model.close(),
        ):
            try:
                call()
            except ModelError as error:
                refused.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(refused) == 4
    assert all("thread" in reason for reason in refused)


def test_a_stop_in_a_prompt_keeps_the_passes_that_were_done(tmp_path):
    path = write_tiny_gguf(tmp_path / "long.gguf", context=2048)
    options = ModelOptions(context_tokens=2048, batch_tokens=1024, threads=1)
    prompt = [5 + n % 500 for n in range(1024)]
    with LlamaModel.open(path, options) as model:
        asked = 0

        def count() -> bool:
            nonlocal asked
            asked += 1
            return asked == stop_at

        stop_at = -1
        model.session.should_stop = count
        expected = model.session.decode(prompt, rows=1).copy()
        model.session.rollback(0)
        asked, stop_at = 0, asked * 3 // 4
        with pytest.raises(DecodeAborted):
            model.session.decode(prompt, rows=1)
        assert list(model.session.cached) == prompt[:512]
        model.session.should_stop = None
        assert np.array_equal(model.session.decode(prompt[512:], rows=1), expected)


def test_short_batches_are_not_stopped(model):
    model.session.should_stop = lambda: True
    model.session.decode([5] * (ABORTABLE_TOKENS - 1), rows=1)
    with pytest.raises(DecodeAborted):
        model.session.decode([5] * ABORTABLE_TOKENS, rows=1)
    assert len(model.session.cached) == ABORTABLE_TOKENS - 1


def test_an_error_of_the_one_who_stops_is_passed_on(model):
    def fail() -> bool:
        raise RuntimeError("clock is broken")

    model.session.should_stop = fail
    with pytest.raises(RuntimeError, match="clock is broken"):
        model.session.decode(TEXT[:20], rows=1)
    assert not model.session.cached
    model.session.should_stop = None
    assert np.isfinite(model.session.decode(TEXT[:20], rows=1)).all()


def test_invalid_numbers_reach_the_caller(tmp_path):
    path = write_tiny_gguf(tmp_path / "nan.gguf", nan=True)
    with LlamaModel.open(path, OPTIONS) as model:
        assert np.isnan(model.session.decode([5], rows=1)).all()


def test_a_recurrent_model_decodes_again_what_a_rollback_keeps(tmp_path):
    path = write_tiny_mamba(tmp_path / "mamba.gguf")
    with LlamaModel.open(path, OPTIONS) as model:
        assert not model.can_rollback
        assert model.header.is_recurrent_or_hybrid
        expected = last_row(model, [*TEXT[:100], 7])
        model.session.rollback(0)
        model.session.decode(TEXT[:64], rows=0)
        model.session.decode(TEXT[64:110], rows=0)
        model.session.rollback(100)
        assert list(model.session.cached) == TEXT[:100]
        assert np.allclose(model.session.decode([7], rows=1)[0], expected, atol=1e-4)


def test_an_ordinary_model_can_take_tokens_back(model):
    assert model.can_rollback
