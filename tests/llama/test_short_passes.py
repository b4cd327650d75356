"""With how many threads a draft decodes its single tokens."""

from __future__ import annotations

import pytest

from tests.llama.conftest import OPTIONS
from tests.tiny_gguf import write_tiny_gguf
from utils.llama.library import native
from utils.llama.model import LlamaModel
from utils.llama.short_passes import TokenTimes, settle_threads

TEXT = list(range(5, 105))


@pytest.fixture
def model(tmp_path):
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    with LlamaModel.open(
        path, OPTIONS.model_copy(update={"threads": 2, "batch_tokens": 128})
    ) as opened:
        yield opened


def threads_of(model):
    return native.llama_n_threads(model.session._context)


def test_a_tiny_model_decodes_single_tokens_with_one_thread_or_two_and_says_how_fast(model):
    times = settle_threads(model.session, 1, 2)
    assert 0 < times.best_s <= times.usual_s
    assert times.best_s < 1
    assert threads_of(model) in {1, 2}
    assert list(model.session.cached) == []


def test_the_faster_of_both_is_kept(model, monkeypatch):
    for slow in (1, 2):

        def timed(_session, _token_id, slow=slow):
            return 400e-6 if threads_of(model) == slow else 100e-6

        monkeypatch.setattr("utils.llama.short_passes._time_pass", timed)
        assert settle_threads(model.session, 1, 2).best_s == pytest.approx(100e-6)
        assert threads_of(model) == 3 - slow


def test_passes_that_take_long_keep_all_threads(model, monkeypatch):
    monkeypatch.setattr("utils.llama.short_passes._time_pass", lambda *_: 0.01)
    assert settle_threads(model.session, 1, 2) == TokenTimes(0.01, 0.01)
    assert threads_of(model) == 2


def test_a_long_prompt_is_read_with_all_threads_all_the_same(model, monkeypatch):
    seen = []
    decode = native.llama_decode

    def spy(context, batch):
        seen.append(native.llama_n_threads_batch(context))
        return decode(context, batch)

    monkeypatch.setattr(native, "llama_decode", spy)
    model.session.spare_threads(1)
    model.session.decode(TEXT, rows=1)
    model.session.decode([7], rows=1)
    model.session.decode(TEXT[:40], rows=1)
    assert seen == [2, 1, 1]
    assert threads_of(model) == 1


def test_the_number_of_threads_changes_no_logit(model):
    with_two = model.session.decode(TEXT[:8], rows=2).copy()
    model.session.rollback(0)
    model.session.spare_threads(1)
    assert (model.session.decode(TEXT[:8], rows=2) == with_two).all()
