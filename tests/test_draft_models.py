"""Which models are there, and which can draft for which."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from config import ROOT, Settings
from tests.tiny_gguf import CONTROLS, write_tiny_gguf, write_tiny_mamba
from utils.draft_models import (
    draft_options,
    find_embedded_draft,
    find_models,
    resolve_draft,
    resolve_target,
)
from utils.draft_pairs import check_pair
from utils.errors import ModelFileError, UnknownModelError
from utils.model_store import manifest_place
from utils.sizes import size


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "shelf"
    folder.mkdir()
    write_tiny_gguf(folder / "big.gguf", layers=3)
    write_tiny_gguf(folder / "small.gguf", layers=1)
    return folder


def settings(*folders: Path) -> Settings:
    return Settings(model_folders=folders)


def test_the_embedded_pair_is_always_there():
    (target,) = find_models([])
    assert (target.name, target.path.name) == ("embedded", "demo-target.gguf")
    assert target.header
    draft = find_embedded_draft()
    assert (draft.name, draft.path.name) == ("embedded", "demo-draft.gguf")
    assert draft.header
    assert check_pair(target.header, draft.header).compatible


def test_models_of_a_folder_are_listed_by_name(folder):
    models = find_models([folder])
    assert [model.name for model in models] == ["embedded", "big", "small"]
    assert all(model.header for model in models)


def test_models_of_one_name_are_told_apart(folder, tmp_path):
    twin = tmp_path / "twin"
    twin.mkdir()
    for name in ("big", "embedded", "lookup"):
        write_tiny_gguf(twin / f"{name}.gguf")
    names = [model.name for model in find_models([folder, twin, twin])]
    assert len(set(names)) == len(names)
    assert {"big", "twin/big", "twin/embedded", "twin/lookup", "twin/big (2)"} <= set(names)


def test_an_unreadable_model_is_listed_with_its_reason(folder):
    (folder / "broken.gguf").write_bytes(b"GGUF")
    (folder / "folder.gguf").mkdir()
    (folder / "gone.gguf").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "fifo.gguf")
    reasons = {model.name: model.reason for model in find_models([folder]) if not model.header}
    assert set(reasons) == {"broken", "folder", "gone", "fifo"}
    assert "truncated" in reasons["broken"]
    assert "cannot be opened" in reasons["gone"]


def test_a_missing_folder_holds_nothing(tmp_path):
    assert len(find_models([tmp_path / "absent"])) == 1


def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path):
    outside = write_tiny_gguf(tmp_path / "outside.gguf")
    (folder / "escape.gguf").symlink_to(outside)
    (folder / "inside.gguf").symlink_to(folder / "big.gguf")
    models = {model.name: model for model in find_models([folder])}
    assert models["escape"].header is None
    assert "out of its folder" in models["escape"].reason
    assert models["inside"].header
    with pytest.raises(ModelFileError, match="out of its folder"):
        resolve_target("escape", settings(folder))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../outside",
        "/etc/passwd",
        "big.gguf",
        "big/../big",
        "lookup",
        "x" * 5000,
        "a\0b",
        "BIG",
    ],
)
def test_a_name_that_was_not_found_is_no_path(folder, tmp_path, name):
    write_tiny_gguf(tmp_path / "outside.gguf")
    for resolve in (resolve_target, resolve_draft):
        with pytest.raises(UnknownModelError) as caught:
            resolve(name, settings(folder))
        assert len(str(caught.value)) < 300


def test_near_names_are_offered(folder):
    with pytest.raises(UnknownModelError, match="did you mean 'small'"):
        resolve_target("smal", settings(folder))


def test_the_name_of_a_file_leads_to_the_model_that_is_meant(folder):
    with pytest.raises(UnknownModelError, match="did you mean 'small'"):
        resolve_target("small.gguf", settings(folder))
    with pytest.raises(UnknownModelError, match="put the file in a folder that SPECCHAT_MODEL_F"):
        resolve_draft("/elsewhere/another.gguf", settings(folder))


def test_names_lead_to_files(folder):
    found = settings(folder)
    assert resolve_target("embedded", found) == ROOT / "models" / "demo-target.gguf"
    assert resolve_draft("embedded", found) == ROOT / "models" / "demo-draft.gguf"
    assert resolve_target("big", found) == resolve_draft("big", found) == folder / "big.gguf"


def test_a_changed_file_is_read_again(folder):
    assert find_models([folder])[1].header.block_count == 3
    write_tiny_gguf(folder / "big.gguf", layers=2)
    assert find_models([folder])[1].header.block_count == 2


def test_models_of_one_family_share_their_vocabulary(folder):
    _, big, small = find_models([folder])
    assert big.header.vocabulary is small.header.vocabulary


def test_the_selector_offers_embedded_lookup_and_smaller_models(folder):
    (folder / "broken.gguf").write_bytes(b"GGUF")
    write_tiny_gguf(folder / "other.gguf", layers=1, control_texts=CONTROLS[:4])
    options = {option.name: option for option in draft_options(settings(folder), "big")}
    assert list(options) == ["embedded", "lookup", "broken", "other", "small"]
    assert options["lookup"].compatible
    assert options["lookup"].size_bytes == 0
    assert options["small"].compatible
    assert options["small"].size_bytes == (folder / "small.gguf").stat().st_size
    assert options["small"].label == f"small (Q4_0, {size(options['small'].size_bytes)})"
    assert (
        options["other"].label
        == f"other (Q4_0, {size(options['other'].size_bytes)}, another vocabulary, 99% in common)"
    )
    assert (options["other"].compatible, options["other"].warning) == (True, "")
    assert options["embedded"].label == "Embedded draft (another vocabulary, 9% in common)"
    assert "9% in common: fewer of its guesses will be right" in options["embedded"].warning
    assert "truncated" in options["broken"].reason
    assert (options["small"].fit, options["other"].fit) == ("same", "tokens")


def test_the_same_model_in_fewer_bits_is_smaller(folder):
    write_tiny_gguf(folder / "big-F16.gguf", layers=3, quantization="F16")
    assert "big" in {option.name for option in draft_options(settings(folder), "big-F16")}
    assert "big-F16" not in {option.name for option in draft_options(settings(folder), "big")}


def test_nothing_drafts_for_a_recurrent_target(tmp_path):
    write_tiny_mamba(tmp_path / "mamba.gguf")
    options = draft_options(settings(tmp_path), "mamba")
    assert [option.compatible for option in options] == [False, False]


def test_options_for_an_unknown_target_are_an_error(folder):
    with pytest.raises(UnknownModelError):
        draft_options(settings(folder), "none")


def store_in_ollama(folder: Path, name: str, **changes) -> None:
    """Write a tiny model where Ollama would keep it."""
    blobs = folder / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    path = write_tiny_gguf(folder / "made.gguf", **changes)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(blobs / f"sha256-{digest}")
    place = folder / "manifests" / manifest_place(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    kind = "application/vnd.ollama.image.model"
    layer = {"mediaType": kind, "digest": f"sha256:{digest}", "size": 1}
    place.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))


def test_models_of_ollama_are_targets_and_drafts_where_they_lie(tmp_path: Path):
    store_in_ollama(tmp_path, "tale:7b", layers=3)
    store_in_ollama(tmp_path, "tale:1b", layers=1)
    settings = Settings(ollama_store=tmp_path)
    assert resolve_target("tale:7b", settings).parent == tmp_path / "blobs"
    options = {option.name: option for option in draft_options(settings, "tale:7b")}
    assert options["tale:1b"].compatible
    assert options["embedded"].overlap < 0.2
    assert "tale:7b" not in options


def test_a_model_of_ollama_without_its_file_says_so(tmp_path: Path):
    store_in_ollama(tmp_path, "tale")
    next((tmp_path / "blobs").iterdir()).unlink()
    with pytest.raises(ModelFileError, match="is not on this machine"):
        resolve_target("tale", Settings(ollama_store=tmp_path))
