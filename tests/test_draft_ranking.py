"""Which draft is taken where nobody chooses, and what is said of the others."""

from __future__ import annotations

import json

import pytest

from config import Settings
from tests.tiny_gguf import write_tiny_gguf, write_tiny_mamba
from utils.draft_models import find_target, target_options
from utils.draft_ranking import (
    HOPED_SPEEDUP,
    LOOKUP_SPEEDUP,
    TIMES,
    best_draft,
    missed_draft,
    rank_drafts,
)
from utils.draft_speeds import note_speed, speeds_file
from utils.engine.calibration import costs_file, costs_folder, keep
from utils.engine.draft_times import token_time_file
from utils.errors import ModelFileError, UnknownModelError
from utils.llama.gguf_header import estimate_memory_bytes
from utils.llama.probe import entry_of, probe_folder
from utils.performance_monitor import Baseline, GenerationStats


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A target with a draft of good size, one too large to pay, and one of another vocabulary."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_gguf(folder / "big.gguf", width=256, feed_forward=1024, layers=4)
    write_tiny_gguf(folder / "small.gguf")
    write_tiny_gguf(folder / "half.gguf", width=256, feed_forward=1024, layers=3)
    return folder


@pytest.fixture
def settings(folder, tmp_path):
    return Settings(model_folders=(folder,), cache_folder=tmp_path / "cache")


def ranked(settings, target="big", *, is_loaded=True, **facts):
    return {
        draft.name: draft for draft in rank_drafts(target, settings, is_loaded=is_loaded, **facts)
    }


def limit_memory(monkeypatch, bytes_):
    monkeypatch.setattr("utils.engine.memory.available_bytes", lambda: bytes_)


def note(settings, draft, speedup, target="big", tokens=1000):
    """Keep an answer of `target` that was so much faster than plain decoding with a draft."""
    model = find_target(target, settings)
    kept = speeds_file(model.path, target_options(model, settings), settings)
    stats = GenerationStats(
        prompt_tokens=10,
        reused_tokens=0,
        completion_tokens=tokens,
        prefill_s=0.1,
        ttft_s=0.1,
        decode_s=tokens / 100 / speedup,
        rounds=tokens,
        drafted=0,
        accepted=0,
        accepted_histogram=(),
        baseline=Baseline(100.0, "running", 10),
    )
    path = None if draft == "lookup" else find_target(draft, settings).path
    note_speed(kept, path, stats)


def keep_passes(settings, name, times):
    """Keep what passes of a model took when it was loaded as a target."""
    model = find_target(name, settings)
    path = costs_file(model.path, target_options(model, settings), settings)
    keep(path, {0: times})


def keep_token_time(settings, name, token_s, target="big"):
    """Keep what a token of a draft took when it was opened for a target."""
    options = target_options(find_target(target, settings), settings)
    path = find_target(name, settings).path
    keep(token_time_file(path, options, costs_folder(settings)), {0: {1: token_s}})


def needed(settings, name):
    model = find_target(name, settings)
    return estimate_memory_bytes(model.header, target_options(model, settings).context_tokens)


def test_a_much_smaller_draft_of_the_family_is_the_best(settings):
    drafts = ranked(settings)
    assert [name for name, draft in drafts.items() if draft.is_usable][:2] == ["small", "lookup"]
    assert [draft.rank for draft in drafts.values() if draft.is_usable][:2] == [1, 2]
    assert drafts["small"].speedup > LOOKUP_SPEEDUP
    assert "of the target's size" in drafts["small"].sentence
    assert "a rough estimate" in drafts["small"].sentence


def test_a_draft_over_a_third_of_the_size_comes_after_lookup_and_says_why(settings):
    drafts = ranked(settings)
    assert drafts["half"].rank > drafts["lookup"].rank
    assert "over a third of the target's size" in drafts["half"].sentence
    assert "it would cost more than it saves" in drafts["half"].sentence


def test_the_target_in_fewer_bits_is_a_draft_where_they_are_few_enough(tmp_path, settings):
    shape = {"width": 256, "feed_forward": 1024, "layers": 4}
    for kind in ("F32", "F16", "Q4_0"):
        write_tiny_gguf(tmp_path / f"{kind}.gguf", quantization=kind, **shape)
    twins = settings.model_copy(update={"model_folders": (tmp_path,)})
    drafts = ranked(twins, "F32")
    assert "F32" not in drafts
    assert drafts["F16"].speedup == 1.0
    assert drafts["Q4_0"].rank == 1
    assert "of the target's size in fewer bits" in drafts["Q4_0"].sentence
    assert "F16" not in ranked(twins, "Q4_0")


def test_of_two_drafts_that_read_as_fast_the_abler_is_the_better(tmp_path, settings):
    write_tiny_gguf(tmp_path / "big.gguf", width=512, feed_forward=2048, layers=8)
    write_tiny_gguf(tmp_path / "tiny.gguf", layers=1)
    write_tiny_gguf(tmp_path / "fit.gguf", width=128, feed_forward=512, layers=1)
    write_tiny_gguf(tmp_path / "third.gguf", width=512, feed_forward=1536, layers=3)
    drafts = ranked(settings.model_copy(update={"model_folders": (tmp_path,)}))
    assert list(drafts)[:3] == ["fit", "tiny", "third"]


def test_a_draft_of_the_same_vocabulary_comes_before_one_of_another(tmp_path, settings):
    write_tiny_gguf(tmp_path / "big.gguf", width=256, feed_forward=1024, layers=4)
    write_tiny_gguf(tmp_path / "same.gguf")
    write_tiny_gguf(tmp_path / "another.gguf", add_bos=True)
    drafts = ranked(settings.model_copy(update={"model_folders": (tmp_path,)}))
    assert drafts["another"].overlap == 1.0
    assert (drafts["same"].fit, drafts["another"].fit) == ("same", "tokens")
    assert drafts["same"].rank < drafts["another"].rank


def test_of_drafts_as_fast_the_one_that_takes_less_memory_comes_first(tmp_path, settings):
    write_tiny_gguf(tmp_path / "big.gguf", width=256, feed_forward=1024, layers=4)
    write_tiny_gguf(tmp_path / "a-long.gguf", context=8192)
    write_tiny_gguf(tmp_path / "short.gguf", context=64)
    drafts = ranked(settings.model_copy(update={"model_folders": (tmp_path,)}))
    assert drafts["short"].speedup == pytest.approx(drafts["a-long"].speedup, rel=1e-3)
    assert drafts["short"].rank < drafts["a-long"].rank


def test_a_draft_goes_by_what_answers_with_it_have_shown(settings):
    note(settings, "small", 1.02)
    drafts = ranked(settings)
    assert next(iter(drafts)) == "lookup"
    small = drafts["small"]
    assert (small.is_measured, small.speedup) == (True, pytest.approx(1.02))
    assert f"1.02{TIMES} plain in answers so far" in small.sentence


def test_lookup_goes_by_what_answers_with_it_have_shown_too(settings):
    note(settings, "lookup", 3.0)
    assert best_draft(list(ranked(settings).values())).name == "lookup"


def test_a_large_draft_that_was_faster_all_the_same_is_taken(settings):
    note(settings, "half", 2.5)
    drafts = ranked(settings)
    assert drafts["half"].rank == 1
    assert "cost more than it saves" not in drafts["half"].sentence


def test_a_few_words_say_nothing_of_a_draft(settings):
    note(settings, "small", 1.02, tokens=100)
    assert ranked(settings)["small"].rank == 1
    assert not ranked(settings)["small"].is_measured


def test_what_answers_show_of_one_draft_says_how_far_the_estimate_of_another_is_off(
    tmp_path, settings
):
    write_tiny_gguf(tmp_path / "big.gguf", width=256, feed_forward=1024, layers=4)
    write_tiny_gguf(tmp_path / "tried.gguf")
    write_tiny_gguf(tmp_path / "untried.gguf", layers=1)
    both = settings.model_copy(update={"model_folders": (tmp_path,)})
    before = ranked(both)
    note(both, "tried", 1.2)
    after = ranked(both)
    come_true = 0.2 / (before["tried"].speedup - 1)
    expected = come_true * (before["untried"].speedup - 1)
    assert after["untried"].speedup - 1 == pytest.approx(expected)
    assert after["lookup"].speedup == before["lookup"].speedup


def test_speeds_of_a_file_that_was_replaced_say_nothing(tmp_path, settings):
    write_tiny_gguf(tmp_path / "big.gguf", width=256, feed_forward=1024, layers=4)
    write_tiny_gguf(tmp_path / "small.gguf")
    both = settings.model_copy(update={"model_folders": (tmp_path,)})
    note(both, "small", 1.02)
    assert ranked(both)["small"].is_measured
    write_tiny_gguf(tmp_path / "small.gguf", seed=1)
    assert not ranked(both)["small"].is_measured


def test_for_the_embedded_target_it_is_the_embedded_draft(settings):
    best = best_draft(rank_drafts("embedded", settings, is_loaded=True))
    assert best is not None
    assert (best.name, best.rank) == ("embedded", 1)


def test_where_no_model_is_installed_lookup_is_the_best(tmp_path, settings):
    write_tiny_gguf(tmp_path / "alone.gguf")
    alone = settings.model_copy(update={"model_folders": (tmp_path,)})
    best = best_draft(rank_drafts("alone", alone, is_loaded=True))
    assert best is not None
    assert best.name == "lookup"


def test_nothing_can_draft_for_a_recurrent_target(tmp_path, settings):
    write_tiny_mamba(tmp_path / "mamba.gguf")
    drafts = rank_drafts(
        "mamba", settings.model_copy(update={"model_folders": (tmp_path,)}), is_loaded=True
    )
    assert best_draft(drafts) is None
    assert all("mamba is a recurrent model" in draft.sentence for draft in drafts)
    assert {draft.rank for draft in drafts} == {0}


def test_a_draft_that_does_not_fit_beside_the_target_is_dropped_with_the_reason(
    settings, monkeypatch
):
    limit_memory(monkeypatch, needed(settings, "small") - 1)
    drafts = ranked(settings)
    assert drafts["small"].verdict == "too large"
    assert "does not fit in memory beside the target: takes about" in drafts["small"].sentence
    assert best_draft(list(drafts.values())).name == "lookup"
    assert missed_draft(list(drafts.values())).name == "small"


@pytest.mark.parametrize(("is_loaded", "verdict"), [(True, "usable"), (False, "too large")])
def test_a_target_that_is_not_loaded_yet_takes_its_memory_first(
    settings, monkeypatch, is_loaded, verdict
):
    limit_memory(monkeypatch, needed(settings, "big") + needed(settings, "small") - 1)
    assert ranked(settings, is_loaded=is_loaded)["small"].verdict == verdict


def test_nobody_can_tell_what_fits_where_the_system_or_a_gpu_does_not(settings, monkeypatch):
    limit_memory(monkeypatch, None)
    assert ranked(settings)["small"].is_usable
    limit_memory(monkeypatch, 1000)
    assert ranked(settings, has_gpu=True)["small"].is_usable
    on_processor = settings.model_copy(update={"gpu_layers": 0})
    assert not ranked(on_processor, has_gpu=True)["small"].is_usable


def test_with_nothing_missed_for_memory_none_is_named(settings):
    assert missed_draft(rank_drafts("big", settings, is_loaded=True)) is None


def test_measured_times_take_the_place_of_the_rough_estimate(settings):
    keep_passes(settings, "big", {1: 0.1, 16: 0.2})
    assert "a rough estimate" in ranked(settings)["small"].sentence
    keep_passes(settings, "small", {1: 0.01, 16: 0.1})
    cheap = ranked(settings)["small"]
    assert not cheap.is_measured
    assert "by the times of both models" in cheap.sentence
    keep_token_time(settings, "small", 0.02)
    dear = ranked(settings)["small"]
    assert "by the times of both models" in dear.sentence
    assert HOPED_SPEEDUP < dear.speedup < cheap.speedup


@pytest.mark.parametrize("widest_s", [0.2, 0.9])
def test_of_two_drafts_the_one_whose_tokens_were_timed_to_take_less_comes_first(
    tmp_path, settings, widest_s
):
    write_tiny_gguf(tmp_path / "big.gguf", width=256, feed_forward=1024, layers=4)
    write_tiny_gguf(tmp_path / "slow.gguf", context=64)
    write_tiny_gguf(tmp_path / "fast.gguf", context=8192)
    both = settings.model_copy(update={"model_folders": (tmp_path,)})
    keep_passes(both, "big", {1: 0.1, 16: widest_s})
    assert next(iter(ranked(both))) == "slow"
    keep_token_time(both, "slow", 0.02)
    keep_token_time(both, "fast", 0.001)
    assert next(iter(ranked(both))) == "fast"


@pytest.mark.parametrize("token_s", [None, 0.09])
def test_a_model_that_times_of_a_busy_machine_speak_against_is_tried_before_lookup(
    settings, token_s
):
    keep_passes(settings, "big", {1: 0.1, 16: 1.6})
    if token_s:
        keep_token_time(settings, "small", token_s)
    drafts = ranked(settings)
    assert list(drafts)[:2] == ["small", "lookup"]
    assert not drafts["small"].is_measured
    assert "answers are to tell" in drafts["small"].sentence


def test_a_model_that_was_tried_in_vain_comes_after_lookup(settings):
    keep_passes(settings, "big", {1: 0.1, 16: 1.6})
    note(settings, "small", 1.02)
    assert next(iter(ranked(settings))) == "lookup"


def test_a_model_that_another_was_tried_in_vain_before_is_tried_all_the_same(tmp_path, settings):
    write_tiny_gguf(tmp_path / "big.gguf", width=256, feed_forward=1024, layers=4)
    write_tiny_gguf(tmp_path / "tried.gguf")
    write_tiny_gguf(tmp_path / "untried.gguf", layers=1)
    both = settings.model_copy(update={"model_folders": (tmp_path,)})
    note(both, "tried", 1.0)
    assert list(ranked(both))[:3] == ["untried", "lookup", "tried"]
    note(both, "untried", 1.0)
    assert next(iter(ranked(both))) == "lookup"


def test_what_answers_with_lookup_have_shown_counts_for_more_than_the_hope_in_a_model(settings):
    keep_passes(settings, "big", {1: 0.1, 16: 1.6})
    note(settings, "lookup", 1.3)
    assert next(iter(ranked(settings))) == "lookup"
    note(settings, "lookup", 1.0, tokens=10_000)
    assert next(iter(ranked(settings))) == "small"


def test_a_model_that_would_not_pay_on_a_calm_machine_either_is_not_tried(tmp_path, settings):
    write_tiny_gguf(tmp_path / "big.gguf", width=256, feed_forward=1024, layers=4)
    write_tiny_gguf(tmp_path / "stranger.gguf", sentencepiece=True, vocabulary_size=4000)
    drafts = ranked(settings.model_copy(update={"model_folders": (tmp_path,)}))
    assert drafts["stranger"].is_usable
    assert drafts["stranger"].overlap < 0.5
    assert drafts["stranger"].fit == "text"
    assert drafts["lookup"].rank < drafts["stranger"].rank


def test_a_draft_that_failed_its_trial_is_not_taken(settings, folder):
    path = folder / "small.gguf"
    entry = entry_of(path, probe_folder(settings))
    entry.parent.mkdir(parents=True)
    entry.write_text(json.dumps({"usable": False, "reason": "model computes invalid numbers"}))
    small = ranked(settings)["small"]
    assert (small.verdict, small.sentence) == ("unfit", "model computes invalid numbers")


def test_there_are_no_drafts_for_a_target_that_is_none(settings, folder, tmp_path):
    with pytest.raises(UnknownModelError):
        rank_drafts("nobody", settings, is_loaded=False)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    broken = settings.model_copy(update={"model_folders": (tmp_path,)})
    with pytest.raises(ModelFileError):
        rank_drafts("broken", broken, is_loaded=False)
