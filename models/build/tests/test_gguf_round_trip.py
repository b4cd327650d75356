"""Weights and tokens survive the way from torch to GGUF and back."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from models.build.chat import question_prompt
from models.build.export import export, interleave
from models.build.importer import deinterleave, import_model, import_tokenizer
from models.build.model import Config, Llama
from models.build.runner import Runner
from models.build.tokenizer import UNUSUAL_TEXTS, count_differences

MODELS = Path(__file__).parents[2]
DRAFT = MODELS / "demo-draft.gguf"
SMALL = Config(dim=64, layers=2, heads=4, kv_heads=2, head_dim=16, ffn=96)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tokenizer.json"
    import_tokenizer(DRAFT).save(str(path))
    return path


def test_interleaving_and_its_inverse_cancel_out() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 24)).astype(np.float32)
    assert np.array_equal(deinterleave(interleave(weight, 4), 4), weight)


def test_interleaving_moves_rows() -> None:
    weight = np.arange(64, dtype=np.float32)[:, None]
    assert not np.array_equal(interleave(weight, 4), weight)


def test_an_exported_model_is_imported_with_the_same_weights(
    tmp_path: Path, tokenizer: Path
) -> None:
    torch.manual_seed(0)
    model = Llama(SMALL)
    export(model, tokenizer, tmp_path / "m.gguf", type_name="F32", name="m")
    back = import_model(tmp_path / "m.gguf")
    assert back.config.dim == SMALL.dim
    for name, weight in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], weight), name


def test_an_imported_file_is_exported_with_the_same_bytes_of_weights(
    tmp_path: Path, tokenizer: Path
) -> None:
    export(import_model(DRAFT), tokenizer, tmp_path / "m.gguf", type_name="F16", name="m")
    old, new = (
        {t.name: t.data for t in gguf.GGUFReader(p).tensors} for p in (DRAFT, out(tmp_path))
    )
    assert old.keys() == new.keys()
    assert all(np.array_equal(old[name], new[name]) for name in old)


def out(folder: Path) -> Path:
    return folder / "m.gguf"


def test_torch_and_llama_cpp_compute_the_same_logits() -> None:
    runner = Runner(DRAFT, context=256, threads=1)
    ids = runner.token_ids(question_prompt("What is speculative decoding?"))
    with torch.no_grad():
        ours = import_model(DRAFT)(torch.tensor([ids]))[0, -1].numpy()
    assert np.abs(ours - runner.logits(ids)).max() < 0.05


def test_the_imported_tokenizer_agrees_with_llama_cpp(tokenizer: Path) -> None:
    assert count_differences(Tokenizer.from_file(str(tokenizer)), DRAFT, UNUSUAL_TEXTS) == 0


def test_an_exported_tokenizer_keeps_every_id(tmp_path: Path, tokenizer: Path) -> None:
    export(Llama(SMALL), tokenizer, out(tmp_path), type_name="F32", name="m")
    old, new = (
        gguf.GGUFReader(p).fields["tokenizer.ggml.tokens"].contents()
        for p in (DRAFT, out(tmp_path))
    )
    assert old == new
