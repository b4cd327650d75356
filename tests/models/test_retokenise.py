"""A model with another vocabulary says the same."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from config import ROOT
from models.build.chat import question_prompt
from models.build.retokenise import retokenise
from models.build.runner import Runner

SOURCE = ROOT / "models" / "demo-draft.gguf"
PROMPT = question_prompt("What is a draft model?")


def answer(path: Path) -> str:
    runner = Runner(path, context=256, threads=1)
    return runner.text(runner.greedy(PROMPT, limit=40))


def tokens(path: Path) -> list[str]:
    texts: list[str] = gguf.GGUFReader(path).fields["tokenizer.ggml.tokens"].contents()
    return texts


@pytest.mark.parametrize("replaced", [0.0, 0.03])
def test_the_answer_is_the_same(tmp_path: Path, replaced: float) -> None:
    out = tmp_path / "other.gguf"
    assert retokenise(SOURCE, out, replaced=replaced, seed=1) == pytest.approx(1 - replaced, 1e-3)
    assert answer(out) == answer(SOURCE)


def test_hardly_a_token_keeps_its_id_and_so_many_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "other.gguf"
    retokenise(SOURCE, out, replaced=0.03, seed=1)
    before, after = tokens(SOURCE), tokens(out)
    assert len(after) == len(set(after)) == len(before)
    assert len(set(before) - set(after)) == round(0.03 * len(before))
    assert sum(old == new for old, new in zip(before, after, strict=True)) < 10


def test_replaced_tokens_are_read_as_their_parts_and_never_written(tmp_path: Path) -> None:
    out = tmp_path / "other.gguf"
    retokenise(SOURCE, out, replaced=0.03, seed=1)
    before, after = Runner(SOURCE, context=64, threads=1), Runner(out, context=64, threads=1)
    word = sorted(set(tokens(SOURCE)) - set(tokens(out)))[-1].replace("Ġ", " ")
    assert len(before.token_ids(word)) == 1
    assert len(after.token_ids(word)) > 1
    assert after.text(after.token_ids(word)) == word
    logits = after.logits(after.token_ids(PROMPT))
    new = [i for i, text in enumerate(tokens(out)) if text.startswith("Ġ<other")]
    assert logits[new].max() < logits.max() - 5


def test_more_than_can_be_replaced_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can be replaced"):
        retokenise(SOURCE, tmp_path / "other.gguf", replaced=0.9, seed=1)
