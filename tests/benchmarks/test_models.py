"""Pairs grown for the benchmark, at a size that takes no time."""

from __future__ import annotations

from benchmarks import models
from benchmarks.models import Shape, grow
from utils.llama.gguf_header import read_header


def test_a_grown_pair_has_the_asked_type_vocabulary_and_context_and_is_built_once(
    tmp_path, monkeypatch
):
    tiny = (Shape(512, 6, 1024), Shape(256, 2, 384))
    monkeypatch.setitem(models.SIZES, "tiny", tiny)
    told: list[str] = []
    pairs = grow(tmp_path, "tiny", ["Q8_0"], vocabulary=5000, tell=told.append)
    ((target, draft),) = pairs
    header = read_header(target)
    assert header.quantization == "Q8_0"
    assert header.trained_context == models.CONTEXT_TOKENS
    assert len(header.vocabulary.tokens) == len(read_header(draft).vocabulary.tokens) == 5000
    assert len(told) == 2
    assert grow(tmp_path, "tiny", ["Q8_0"], vocabulary=5000, tell=told.append) == pairs
    assert len(told) == 2
