"""Sequences of recurrent and hybrid models: what is taken back, and what is read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from config import ModelOptions
from tests.llama.conftest import OPTIONS
from tests.tiny_gguf import write_tiny_mamba
from tests.tiny_hybrid import ARCHITECTURES, write_tiny_hybrid
from utils.errors import ModelError
from utils.llama import recurrent_session
from utils.llama.gguf_header import read_header
from utils.llama.library import native
from utils.llama.model import LlamaModel
from utils.llama.probe import ProbeVerdict, probe_model, try_model
from utils.llama.recurrent_session import RecurrentSession
from utils.model_session import DecodeAborted

TEXT = [(7 * number + 3) % 500 + 5 for number in range(200)]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def shared_hybrid(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlamaModel]:
    path = write_tiny_hybrid(tmp_path_factory.mktemp("hybrid") / "tiny.gguf", request.param)
    with LlamaModel.open(path, OPTIONS) as model:
        yield model


@pytest.fixture
def hybrid(shared_hybrid: LlamaModel) -> LlamaModel:
    shared_hybrid.session.should_stop = None
    shared_hybrid.session.clear()
    return shared_hybrid


@pytest.fixture
def mamba(tmp_path: Path) -> Iterator[LlamaModel]:
    with LlamaModel.open(write_tiny_mamba(tmp_path / "mamba.gguf"), OPTIONS) as model:
        yield model


@pytest.fixture(params=[*ARCHITECTURES, "mamba"])
def any_recurrent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LlamaModel]:
    if request.param == "mamba":
        path = write_tiny_mamba(tmp_path / "tiny.gguf")
    else:
        path = write_tiny_hybrid(tmp_path / "tiny.gguf", request.param)
    with LlamaModel.open(path, OPTIONS) as model:
        yield model


@pytest.fixture
def reread(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of the passes that give no logits: texts that are read."""
    lengths: list[int] = []
    decode = RecurrentSession.decode

    def noted(self, token_ids, *, rows, width=0):
        if not rows:
            lengths.append(len(token_ids))
        return decode(self, token_ids, rows=rows, width=width)

    monkeypatch.setattr(RecurrentSession, "decode", noted)
    return lengths


def session_of(model: LlamaModel) -> RecurrentSession:
    assert isinstance(model.session, RecurrentSession)
    return model.session


def after(model: LlamaModel, token_ids: list[int]) -> np.ndarray:
    """Logits after a text that is read from its beginning, the last token by itself."""
    session = model.session
    session.clear()
    for start in range(0, len(token_ids) - 1, session.max_batch):
        session.decode(token_ids[:-1][start : start + session.max_batch], rows=0)
    logits = session.decode(token_ids[-1:], rows=1)[0].copy()
    session.clear()
    return logits


def stop_at(ask: int) -> Callable[[], bool]:
    """Stop a pass when it asks for that many a time: in the midst of its layers."""
    asks = iter(range(1, 1000))
    return lambda: next(asks) >= ask


def test_a_hybrid_can_take_back_as_many_tokens_as_a_draft_has(hybrid):
    session = session_of(hybrid)
    assert hybrid.can_rollback
    assert 7 <= hybrid.returnable_tokens == session.snapshots <= 16
    assert session.snapshots == hybrid.header.snapshots


def test_what_follows_tokens_taken_back_is_bitwise_what_follows_a_fresh_start(hybrid, reread):
    session = session_of(hybrid)
    for back in range(1, session.snapshots + 1):
        kept = TEXT[: 41 + session.snapshots - back]
        fresh = after(hybrid, [*kept, 7])
        session.decode(TEXT[:40], rows=0)
        session.decode(TEXT[40 : 41 + session.snapshots], rows=1)
        reread.clear()
        session.rollback(len(kept))
        assert list(session.cached) == kept
        assert (session.decode([7], rows=1)[0] == fresh).all(), back
        assert not reread


def test_a_cut_may_be_followed_by_a_deeper_one(hybrid, reread):
    session = session_of(hybrid)
    fresh = after(hybrid, [*TEXT[:42], 7])
    session.decode(TEXT[:40], rows=0)
    session.decode(TEXT[40:48], rows=8)
    reread.clear()
    for length in (46, 45, 42):
        session.rollback(length)
    assert (session.decode([7], rows=1)[0] == fresh).all()
    assert not reread


def test_where_the_kept_state_cannot_be_taken_back_all_is_read_again(
    any_recurrent, reread, monkeypatch
):
    session = session_of(any_recurrent)
    fresh = after(any_recurrent, [*TEXT[:43], 7])
    session.decode(TEXT[:40], rows=0)
    for token_id in TEXT[40:48]:
        session.decode([token_id], rows=1)
    reread.clear()
    monkeypatch.setattr(native, "llama_state_seq_set_data_ext", lambda *_: 0)
    session.rollback(43)
    assert sum(reread) == 43
    assert list(session.cached) == TEXT[:43]
    agreed = session.decode([7], rows=1)[0]
    assert np.square(agreed - fresh).mean() <= 0.01 * fresh.var()


def test_before_the_last_pass_there_is_nothing_to_go_back_to(hybrid, reread):
    session = session_of(hybrid)
    fresh = after(hybrid, [*TEXT[:43], 7])
    session.decode(TEXT[:40], rows=0)
    for token_id in TEXT[40:48]:
        session.decode([token_id], rows=1)
    assert not session.cut(47)
    reread.clear()
    # llama.cpp itself would say yes, and go on from a wrong state.
    session.rollback(43)
    assert list(session.cached) == TEXT[:43]
    assert (session.decode([7], rows=1)[0] == fresh).all()
    assert reread == [3]


def test_the_end_of_what_was_read_is_gone_back_to_without_reading(hybrid, reread):
    session = session_of(hybrid)
    fresh = after(hybrid, [*TEXT[:100], 7])
    for start in (0, 64):
        session.decode(TEXT[start : min(100, start + 64)], rows=0)
    for _ in range(2):
        for token_id in TEXT[100:130]:
            session.decode([token_id], rows=1)
        reread.clear()
        session.rollback(100)
        assert (session.decode([7], rows=1)[0] == fresh).all()
        assert not reread
        session.rollback(100)


def test_before_the_end_of_what_was_read_all_is_read_again(hybrid, reread):
    session = session_of(hybrid)
    fresh = after(hybrid, [*TEXT[:20], 7])
    session.decode(TEXT[:60], rows=0)
    session.decode(TEXT[60:70], rows=1)
    reread.clear()
    session.rollback(20)
    assert reread == [20]
    assert (session.decode([7], rows=1)[0] == fresh).all()


def test_padding_is_taken_back_together_with_what_was_rejected(hybrid, reread):
    session = session_of(hybrid)
    fresh = after(hybrid, [*TEXT[:41], 7])
    session.decode(TEXT[:40], rows=0)
    session.decode(TEXT[40:44], rows=4, width=64)
    assert session._batch.n_tokens == session.snapshots + 1
    assert list(session.cached) == TEXT[:44]
    reread.clear()
    session.rollback(41)
    assert (session.decode([7], rows=1)[0] == fresh).all()
    assert not reread


def test_a_refused_pass_changes_nothing(hybrid):
    session = session_of(hybrid)
    fresh = after(hybrid, [*TEXT[:42], 7])
    session.decode(TEXT[:40], rows=0)
    session.decode(TEXT[40:48], rows=8)
    session.rollback(42)
    for bad in ([], [-1], [session.n_vocab], [5] * (session.max_batch + 1)):
        with pytest.raises(ModelError):
            session.decode(bad, rows=1)
    with pytest.raises(ModelError, match="out of range"):
        session.rollback(43)
    assert (session.decode([7], rows=1)[0] == fresh).all()


def test_a_stopped_pass_leaves_what_was_read_before(any_recurrent):
    session = session_of(any_recurrent)
    fresh = after(any_recurrent, [*TEXT[:30], 7])
    session.decode(TEXT[:30], rows=0)
    session.decode(TEXT[30:31], rows=1)
    session.should_stop = stop_at(20)
    with pytest.raises(DecodeAborted):
        session.decode(TEXT[31:90], rows=0)
    session.should_stop = None
    assert list(session.cached) == TEXT[:30]
    assert np.allclose(session.decode([7], rows=1)[0], fresh, atol=1e-4)


def test_a_stopped_pass_never_leaves_a_state_of_nowhere(any_recurrent):
    session = session_of(any_recurrent)
    fresh = after(any_recurrent, [*TEXT[:30], 7])
    session.should_stop = stop_at(20)
    with pytest.raises(DecodeAborted):
        session.decode(TEXT[:60], rows=0)
    assert not session.cached
    session.should_stop = None
    assert np.allclose(after(any_recurrent, [*TEXT[:30], 7]), fresh, atol=1e-4)


def test_a_recurrent_model_goes_back_to_the_end_of_its_prompt(mamba, reread):
    session = session_of(mamba)
    assert (mamba.can_rollback, mamba.returnable_tokens, session.snapshots) == (False, 0, 0)
    fresh = after(mamba, [*TEXT[:50], 7])
    session.decode(TEXT[:50], rows=0)
    for token_id in TEXT[50:60]:
        session.decode([token_id], rows=1, width=8)
    assert not session.cut(59)
    reread.clear()
    session.rollback(50)
    assert np.allclose(session.decode([7], rows=1)[0], fresh, atol=1e-4)
    assert not reread


def test_snapshots_that_lead_elsewhere_are_not_used(tmp_path, monkeypatch, reread):
    path = write_tiny_hybrid(tmp_path / "tiny.gguf", "lfm2")
    with monkeypatch.context() as patched:
        patched.setattr(recurrent_session, "_agree", lambda logits, expected: len(reread) < 2)
        model = LlamaModel.open(path, OPTIONS)
    with model:
        assert (model.can_rollback, model.returnable_tokens) == (False, 0)
        fresh = after(model, [*TEXT[:42], 7])
        model.session.decode(TEXT[:40], rows=0)
        model.session.decode(TEXT[40:48], rows=8, width=16)
        reread.clear()
        model.session.rollback(42)
        assert reread == [2]
        assert (model.session.decode([7], rows=1)[0] == fresh).all()


def test_a_kept_state_that_leads_elsewhere_is_not_used(tmp_path, monkeypatch, reread):
    path = write_tiny_hybrid(tmp_path / "tiny.gguf", "lfm2")
    with monkeypatch.context() as patched:
        patched.setattr(recurrent_session, "_agree", lambda logits, expected: len(reread) >= 2)
        model = LlamaModel.open(path, OPTIONS)
    with model:
        assert model.can_rollback
        model.session.decode(TEXT[:40], rows=0)
        model.session.decode(TEXT[40:41], rows=1)
        model.session.decode(TEXT[41:42], rows=1)
        reread.clear()
        model.session.rollback(40)
        assert reread == [40]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("context_tokens", "batch_tokens"), [(16, 16), (17, 512), (256, 16)])
def test_batches_too_small_for_a_whole_draft_hold_fewer_snapshots(
    tmp_path, architecture, context_tokens, batch_tokens
):
    path = write_tiny_hybrid(tmp_path / "tiny.gguf", architecture)
    options = ModelOptions(context_tokens=context_tokens, batch_tokens=batch_tokens, threads=1)
    with LlamaModel.open(path, options) as model:
        assert 0 < model.returnable_tokens <= model.session.max_batch - 2
        model.session.decode(TEXT[: min(16, model.session.max_batch)], rows=1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_child_tries_out_going_back_with_as_many_snapshots_as_are_ever_kept(
    tmp_path, monkeypatch, architecture
):
    path = write_tiny_hybrid(tmp_path / "tiny.gguf", architecture)
    assert probe_model(path) == ProbeVerdict(usable=True)
    tried: list[int] = []
    try_out = RecurrentSession.try_out

    def noted(self):
        tried.append(self.snapshots)
        return try_out(self)

    monkeypatch.setattr(RecurrentSession, "try_out", noted)
    assert try_model(path).usable
    assert tried == [read_header(path).snapshots]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_header_tells_what_the_states_take(tmp_path, architecture):
    path = write_tiny_hybrid(tmp_path / "tiny.gguf", architecture)
    with LlamaModel.open(path, OPTIONS) as model:
        session = session_of(model)
        session.decode(TEXT[:4], rows=0)
        told = native.llama_state_seq_get_size_ext(session._context, 0, recurrent_session._PARTIAL)
        # Beside the numbers there are a few bytes that say what they are.
        assert 0 < told - model.header.state_bytes < 256
