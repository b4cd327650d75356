"""A grown model costs more and says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from config import ROOT
from models.build.chat import question_prompt
from models.build.inflate import inflate
from models.build.runner import Runner

SOURCE = ROOT / "models" / "demo-draft.gguf"
PROMPT = question_prompt("Count from 1 to 12.")
LIMIT = 24
PADDED = 6000


def grown(tmp_path: Path, *, type_name: str = "F32", **changes: Any) -> Path:
    fields = gguf.GGUFReader(SOURCE).fields
    sizes = {
        "dim": 2 * fields["llama.embedding_length"].contents(),
        "layers": 1 + fields["llama.block_count"].contents(),
        "ffn": 64 + fields["llama.feed_forward_length"].contents(),
    }
    out = tmp_path / "grown.gguf"
    inflate(SOURCE, out, type_name=type_name, **{**sizes, **changes})
    return out


def greedy(path: Path) -> list[int]:
    return Runner(path, context=256, threads=1).greedy(PROMPT, limit=LIMIT, stop_at_end=False)


@pytest.fixture(scope="module")
def answer() -> list[int]:
    return greedy(SOURCE)


def test_a_grown_model_gives_the_same_greedy_answer(tmp_path: Path, answer: list[int]) -> None:
    assert greedy(grown(tmp_path)) == answer


def test_a_padded_vocabulary_gives_the_same_greedy_answer(
    tmp_path: Path, answer: list[int]
) -> None:
    assert greedy(grown(tmp_path, vocab=PADDED)) == answer


def test_padding_tokens_score_below_every_other_token(tmp_path: Path) -> None:
    runner = Runner(grown(tmp_path, type_name="F16", vocab=PADDED), context=256, threads=1)
    logits = runner.logits(runner.token_ids(PROMPT))
    known = len(gguf.GGUFReader(SOURCE).fields["tokenizer.ggml.tokens"].data)
    assert logits.shape == (PADDED,)
    assert logits[known:].max() < logits[:known].min() - 100


def test_noise_changes_the_logits(tmp_path: Path) -> None:
    logits = []
    for noise in (0.0, 1.0):
        runner = Runner(grown(tmp_path, noise=noise), context=256, threads=1)
        logits.append(runner.logits(runner.token_ids(PROMPT)))
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def test_a_smaller_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least that of the input"):
        grown(tmp_path, layers=1)


def test_padding_needs_a_wider_model(tmp_path: Path) -> None:
    width = gguf.GGUFReader(SOURCE).fields["llama.embedding_length"].contents()
    with pytest.raises(ValueError, match="--pad-vocab needs"):
        grown(tmp_path, dim=width, vocab=PADDED)
