"""Tiny models for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import ModelOptions
from tests.tiny_gguf import write_tiny_gguf
from utils.llama.model import LlamaModel

# Rows of logits are bitwise the same in any batch of fewer than 64 tokens with these kernels only.
OPTIONS = ModelOptions(context_tokens=256, batch_tokens=64, threads=1, flash_attention="on")


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="module")
def shared_model(tiny_path: Path) -> Iterator[LlamaModel]:
    with LlamaModel.open(tiny_path, OPTIONS) as model:
        yield model


@pytest.fixture
def model(shared_model: LlamaModel) -> LlamaModel:
    """A model with nothing in its cache and nobody to stop it."""
    shared_model.session.should_stop = None
    shared_model.session.clear()
    return shared_model
