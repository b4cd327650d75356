"""Which tokens of one vocabulary stand for which of another."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest

from utils.vocabulary_map import NEVER, UNMAPPED, LogitSpread, VocabularyMap, common_share


@dataclass
class Words:
    """A vocabulary of texts; those in angles are controls, and those that say so are ends."""

    texts: list[str]
    eos: int | None = None

    @property
    def size(self) -> int:
        return len(self.texts)

    @property
    def control_ids(self) -> frozenset[int]:
        return frozenset(i for i, text in enumerate(self.texts) if text.startswith("<|"))

    def piece(self, token_id: int) -> bytes:
        text = self.texts[token_id]
        if token_id in self.control_ids:
            return b"<think>" if text == "<|mark|>" else b""
        return bytes([int(text[3:5], 16)]) if text.startswith("<0x") else text.encode()

    def text(self, token_id: int) -> str:
        return self.texts[token_id]

    def is_end(self, token_id: int) -> bool:
        return "end" in self.texts[token_id] and token_id in self.control_ids


def pairs(vocabulary_map: VocabularyMap, draft: Words, target: Words) -> dict[str, str]:
    return {
        draft.texts[source]: target.texts[found]
        for source, found in enumerate(vocabulary_map.targets)
        if found != UNMAPPED
    }


def test_tokens_are_found_by_their_bytes_whatever_their_ids():
    texts = [f"word{n}" for n in range(50)]
    target = Words(texts)
    draft = Words(random.Random(1).sample(texts, 50))
    mapped = VocabularyMap.between(draft, target)
    assert pairs(mapped, draft, target) == {text: text for text in texts}
    assert mapped.overlap == 1
    assert [int(mapped.targets[source]) for source in mapped.sources] == list(range(50))


def test_controls_are_never_mapped_and_ends_only_to_ends():
    draft = Words(["a", "<|start|>", "<|mark|>", "<|end|>", "end"])
    target = Words(["<|start|>", "end", "a", "<|end|>", "<|mark|>"])
    mapped = VocabularyMap.between(draft, target)
    assert pairs(mapped, draft, target) == {"a": "a", "end": "end", "<|end|>": "<|end|>"}


def test_ends_of_other_names_are_mapped_to_the_usual_one():
    draft = Words(["a", "<|x_end|>", "<|y_end|>"], eos=2)
    target = Words(["<|other_end|>", "<|end|>", "a"], eos=1)
    mapped = VocabularyMap.between(draft, target)
    assert pairs(mapped, draft, target) == {"a": "a", "<|y_end|>": "<|end|>"}


def test_a_letter_is_found_before_the_byte_that_spells_it():
    draft = Words(["<0x61>", "a"])
    target = Words(["a", "b", "<0x61>"])
    mapped = VocabularyMap.between(draft, target)
    assert pairs(mapped, draft, target) == {"a": "a"}
    assert mapped.sources.tolist() == [1, UNMAPPED, UNMAPPED]


def test_a_byte_is_found_in_a_letter():
    draft, target = Words(["a"]), Words(["b", "<0x61>"])
    mapped = VocabularyMap.between(draft, target)
    assert pairs(mapped, draft, target) == {"a": "<0x61>"}


def test_logits_move_to_the_tokens_of_the_target_and_all_others_cannot_win():
    draft, target = Words(["a", "c", "d"]), Words(["d", "b", "a"])
    spread = LogitSpread(VocabularyMap.between(draft, target))
    for first in (1, 5):
        spread.fill(np.array([first, 2, 3], np.float32))
        assert spread.row.tolist() == [3, NEVER, first]


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [("abcd", "abcd", 1), ("ab", "abcd", 0.5), ("abcd", "ab", 0.5), ("ab", "xy", 0), ("", "", 0)],
)
def test_the_overlap_is_the_share_of_the_larger_vocabulary(first, second, share):
    assert common_share(set(first), set(second)) == share
