"""Opening and closing models."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from config import ROOT, ModelOptions
from tests.llama.conftest import OPTIONS
from tests.tiny_gguf import CHAT_TEMPLATE, write_tiny_gguf
from utils.errors import ModelError, ModelFileError, ModelLoadError
from utils.llama.model import LlamaModel
from utils.llama.threads import physical_cores


def test_a_model_says_what_it_is(model, tiny_path):
    info = model.info
    assert info.path == str(tiny_path)
    assert (info.name, info.architecture, info.quantization) == ("tiny", "llama", "Q4_0")
    assert info.size_bytes == tiny_path.stat().st_size
    assert (info.vocabulary_size, info.trained_context, info.context_tokens) == (512, 512, 256)
    assert (info.threads, info.batch_threads) == (1, 1)
    assert model.chat_template == CHAT_TEMPLATE


def test_the_context_is_no_longer_than_trained(tiny_path):
    with LlamaModel.open(tiny_path, ModelOptions(context_tokens=4096)) as model:
        assert model.session.n_ctx == model.info.context_tokens == 512
        assert model.info.threads == physical_cores()


@pytest.mark.parametrize("context_tokens", [16, 17, 33])
@pytest.mark.parametrize("batch_tokens", [16, 512])
def test_the_smallest_contexts_work(tiny_path, context_tokens, batch_tokens):
    options = ModelOptions(context_tokens=context_tokens, batch_tokens=batch_tokens, threads=1)
    with LlamaModel.open(tiny_path, options) as model:
        assert model.session.n_ctx == context_tokens
        model.session.decode([5] * 16, rows=16)
        for _ in range(context_tokens - 16):
            model.session.decode([5], rows=1)
        with pytest.raises(ModelError, match="context is full"):
            model.session.decode([5], rows=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"flash_attention": "off"},
        {"flash_attention": "on", "cache_type": "q8_0"},
        {"flash_attention": "on", "cache_type": "q4_0"},
        {"use_mmap": False},
        {"gpu_layers": 0, "batch_threads": 2},
    ],
)
def test_every_option_is_taken(tiny_path, changes):
    with LlamaModel.open(tiny_path, ModelOptions(threads=1, **changes)) as model:
        assert model.session.decode([5, 6], rows=2).shape == (2, 512)


def test_nothing_native_is_reached_after_close(tiny_path):
    model = LlamaModel.open(tiny_path, OPTIONS)
    known = model.vocabulary.piece(70)
    model.close()
    model.close()
    assert model.vocabulary.piece(70) == known
    for call in (
        lambda: model.session.decode([5], rows=1),
        lambda: model.session.rollback(0),
        lambda: model.session.clear(),
        lambda: model.vocabulary.tokenize("a", parse_special=False),
        lambda: model.vocabulary.piece(71),
        lambda: model.vocabulary.text(71),
    ):
        with pytest.raises(ModelError, match="closed"):
            call()


def test_only_the_thread_that_opened_a_model_may_close_it(tiny_path):
    model = LlamaModel.open(tiny_path, OPTIONS)
    raised: list[ModelError] = []

    def close() -> None:
        try:
            model.close()
        except ModelError as error:
            raised.append(error)

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert "did not open it" in str(raised[0])
    model.close()


def test_loading_reports_its_progress(tiny_path):
    shares: list[float] = []
    LlamaModel.open(tiny_path, OPTIONS, on_progress=shares.append).close()
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_loading_can_be_stopped(tiny_path):
    with pytest.raises(ModelLoadError):
        LlamaModel.open(tiny_path, OPTIONS, on_progress=lambda _share: False)


def test_an_error_in_the_progress_report_is_passed_on(tiny_path):
    def fail(_share: float) -> bool:
        raise RuntimeError("pipe is gone")

    with pytest.raises(RuntimeError, match="pipe is gone"):
        LlamaModel.open(tiny_path, OPTIONS, on_progress=fail)


def test_llama_cpp_gives_its_reason(tmp_path):
    path = write_tiny_gguf(tmp_path / "odd.gguf", metadata={"tokenizer.ggml.pre": "no-such-pre"})
    with pytest.raises(ModelLoadError, match=r"'odd.gguf'.*no-such-pre"):
        LlamaModel.open(path, OPTIONS)


def test_an_impossible_option_is_a_load_error(tiny_path):
    options = ModelOptions(flash_attention="off", cache_type="q4_0")
    with pytest.raises(ModelLoadError, match="context"):
        LlamaModel.open(tiny_path, options)


def test_llama_cpp_prints_nothing(tiny_path, capfd):
    LlamaModel.open(tiny_path, OPTIONS).close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["empty", "folder", "fifo", "/dev/zero", "absent", "text"])
def test_what_is_no_model_is_refused_before_llama_cpp_sees_it(tmp_path, name):
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name == "fifo":
        os.mkfifo(path)
    elif name in ("empty", "text"):
        path.write_text("GGUF" if name == "text" else "")
    with pytest.raises(ModelFileError):
        LlamaModel.open(path, OPTIONS)


def test_the_embedded_pair_opens():
    for name in ("demo-target", "demo-draft"):
        path = Path(ROOT / "models" / f"{name}.gguf")
        with LlamaModel.open(path, ModelOptions(context_tokens=64)) as model:
            assert model.can_rollback
            assert model.vocabulary.control_texts
