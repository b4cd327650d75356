"""The time that is counted as llama.cpp's own."""

from __future__ import annotations

import pytest

from benchmarks.rig import ADAPTIVE, PLAIN, Rig
from benchmarks.upkeep import MemoryUse, NativeClock, measure_memory
from config import ModelOptions, SamplingParams
from tests.tiny_gguf import write_tiny_gguf
from utils.llama.library import native

SAMPLING = SamplingParams(temperature=0, max_tokens=8)


@pytest.fixture
def rig(tmp_path):
    target = write_tiny_gguf(tmp_path / "target.gguf", quantization="F32")
    draft = write_tiny_gguf(tmp_path / "draft.gguf", quantization="F32", noise=0.3)
    with Rig(target, draft, ModelOptions(context_tokens=512, threads=1)) as rig:
        yield rig


def test_native_time_is_part_of_an_answer_and_the_library_is_left_as_it_was(rig):
    before = native.llama_decode
    with NativeClock() as clock:
        answer = rig.answer(rig.encode("Hello"), SAMPLING, PLAIN)
    assert native.llama_decode is before
    assert 0 < clock.seconds < answer.stats.prefill_s + answer.stats.decode_s


def test_adaptive_drafting_learns_over_answers_until_another_user_begins(rig):
    for _ in range(2):
        rig.forget()
        rig.answer(rig.encode("Hello"), SAMPLING, ADAPTIVE)
    learnt = rig._records["coupled"]
    assert learnt is not None
    rig.begin_user()
    rig.forget()
    rig.answer(rig.encode("Hello"), SAMPLING, ADAPTIVE)
    assert rig._records["coupled"] is not learnt
    assert rig._records["coupled"].costs is learnt.costs


def test_measuring_costs_leaves_the_caches_as_they_were(rig):
    prompt = rig.encode("Hello")
    rig.remember(prompt[:-1])
    rig.answer(prompt, SAMPLING, ADAPTIVE)
    rig.forget()
    assert list(rig.target.session.cached) == prompt[:-1]
    assert list(rig.draft.session.cached) == prompt[:-1]


def test_all_memory_beyond_the_target_s_weights_and_cache_counts():
    use = MemoryUse(800, 200, plain_bytes=1100, adaptive_bytes=1150)
    assert use.overhead == pytest.approx(0.15)
    assert use.plain_overhead == pytest.approx(0.1)
    assert MemoryUse(800, 200, plain_bytes=990, adaptive_bytes=990).overhead == 0


@pytest.mark.no_cover
@pytest.mark.usefixtures("unmeasured_children")
def test_memory_holds_weights_and_cache_and_the_draft_s_beyond_them(tmp_path):
    """Large enough that what Python takes in between is little beside them."""
    shape = {"width": 512, "layers": 4, "heads": 4, "kv_heads": 4, "feed_forward": 2048}
    target = write_tiny_gguf(tmp_path / "t.gguf", quantization="F32", context=4096, **shape)
    options = ModelOptions(context_tokens=4096, threads=1)
    use = measure_memory(target, target, options)
    assert use.weights_bytes == target.stat().st_size
    assert use.plain_bytes > use.weights_bytes + use.cache_bytes
    # The draft is as large as the target, and has a cache of its own.
    assert use.overhead > 1
    assert use.plain_overhead < 0.5


def test_on_a_gpu_memory_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.upkeep.has_gpu", lambda: True)
    assert measure_memory(tmp_path / "none.gguf", None, ModelOptions()) is None
