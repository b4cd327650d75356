"""Which draft is taken where nobody chooses, and what is said of the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from config import Settings
from tests.tiny_gguf import write_tiny_gguf, write_tiny_mamba
from utils.draft_models import find_target, target_options
from utils.draft_ranking import (
    LOOKUP_SPEEDUP,
    best_draft,
    expected_speedup,
    missed_draft,
    rank_drafts,
    usual_acceptance,
)
from utils.engine.calibration import costs_file, keep
from utils.errors import ModelFileError, UnknownModelError
from utils.llama.gguf_header import estimate_memory_bytes, read_header
from utils.llama.probe import entry_of, probe_folder


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


def test_a_draft_over_half_the_size_comes_after_lookup_and_says_why(settings):
    drafts = ranked(settings)
    assert drafts["half"].rank > drafts["lookup"].rank
    assert "over half the size" in drafts["half"].sentence


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


def test_measured_costs_take_the_place_of_the_estimate(settings):
    for name, seconds in (("big", 0.1), ("small", 0.09)):
        model = find_target(name, settings)
        path = costs_file(model.path, target_options(model, settings), settings)
        keep(path, {0: {1: seconds, 16: 16 * seconds}})
    small = ranked(settings)["small"]
    assert small.is_measured
    assert "by what was measured" in small.sentence
    assert small.speedup == 1.0


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


@pytest.mark.parametrize(
    ("acceptance", "cost", "passes", "speedup"),
    [
        (0.0, 0.1, (), 1.0),
        (0.5, 0.0, (1.0, 1.0), 1.5),
        (0.8, 0.1, (1.0, 1.0, 1.0), 2.44 / 1.2),
        (0.8, 1.0, (1.0, 1.0, 1.0), 1.0),
        (1.0, 0.0, (1.0, 2.0, 3.0), 1.0),
    ],
)
def test_the_expected_speedup_is_that_of_the_best_length(acceptance, cost, passes, speedup):
    assert expected_speedup(acceptance, cost, passes) == pytest.approx(speedup)


def test_smaller_drafts_and_strangers_are_expected_to_be_right_less_often(folder):
    header = read_header(folder / "big.gguf")
    rates = [
        usual_acceptance(header, replace(header, parameters=header.parameters // share))
        for share in (2, 10, 50)
    ]
    assert rates == sorted(rates, reverse=True)
    assert 0.6 < rates[2] < rates[0] < 0.9
    stranger = replace(header, architecture="qwen2")
    assert usual_acceptance(header, stranger) < usual_acceptance(header, header)
    assert usual_acceptance(header, header, overlap=0.5) < 0.4
