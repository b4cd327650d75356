"""The files of the embedded pair are what their checksums and the card say."""

from __future__ import annotations

import hashlib

import gguf
import pytest

from config import ROOT

MODELS = ROOT / "models"
NAMES = ("demo-draft.gguf", "demo-target.gguf")
LARGEST_PAIR_BYTES = 48 * 2**20


def listed_sums() -> dict[str, str]:
    lines = (MODELS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_every_gguf_file_is_listed_with_its_checksum() -> None:
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in MODELS.glob("*.gguf")
    }
    assert found == listed_sums()


def test_the_pair_is_small_enough_to_be_embedded() -> None:
    assert sum((MODELS / name).stat().st_size for name in NAMES) < LARGEST_PAIR_BYTES


def test_target_and_draft_share_one_vocabulary() -> None:
    draft, target = (gguf.GGUFReader(MODELS / name).fields for name in NAMES)
    keys = [key for key in target if key.startswith("tokenizer.ggml.")]
    assert {k: draft[k].contents() for k in keys} == {k: target[k].contents() for k in keys}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_states_its_licence(name: str) -> None:
    assert gguf.GGUFReader(MODELS / name).fields["general.license"].contents() == "mit"


@pytest.mark.parametrize("name", NAMES)
def test_the_card_states_the_number_of_parameters(name: str) -> None:
    parameters = sum(int(t.n_elements) for t in gguf.GGUFReader(MODELS / name).tensors)
    assert f"{parameters:,}" in (MODELS / "README.md").read_text(encoding="utf-8")
