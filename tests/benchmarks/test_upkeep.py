"""The time that is counted as llama.cpp's own."""

from __future__ import annotations

import pytest

from benchmarks.rig import ADAPTIVE, PLAIN, Rig
from benchmarks.upkeep import MemoryUse, NativeClock
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


def test_memory_beyond_plain_decoding_is_a_share_of_weights_and_cache():
    assert MemoryUse(800, 200, plain_bytes=2000, adaptive_bytes=2150).overhead == pytest.approx(
        0.15
    )
    assert MemoryUse(800, 200, plain_bytes=2000, adaptive_bytes=1990).overhead == 0
