"""Which model can draft for which, and how."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.build.retokenise import retokenise
from tests.drafters.vocabularies import open_model
from tests.tiny_gguf import write_tiny_gguf, write_tiny_mamba, write_tiny_pair
from tests.tiny_hybrid import write_tiny_hybrid
from utils.draft_pairs import PairCheck, check_pair
from utils.llama.gguf_header import read_header
from utils.vocabulary_map import VocabularyMap

UNUSED = 5


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    return read_header(write_tiny_gguf(tmp_path_factory.mktemp("pair") / "target.gguf"))


def changed(header, **changes):
    return replace(header, vocabulary=replace(header.vocabulary, **changes))


def shifted(tokens: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Every token under another id; the controls and ends stay."""
    return (*tokens[:5], *tokens[6:], tokens[5])


def test_a_pair_of_one_family_has_the_same_vocabulary(tmp_path):
    target, draft = map(read_header, write_tiny_pair(tmp_path))
    assert check_pair(target, draft) == check_pair(draft, target)
    assert check_pair(target, draft) == PairCheck(compatible=True, fit="same", overlap=1)
    assert check_pair(target, draft).note == ""


def test_the_vocabularies_may_differ_a_little(header):
    tokens = header.vocabulary.tokens
    other = changed(header, tokens=(b"other", *tokens[1:5], *tokens[5:-100]), types=())
    assert check_pair(header, other).fit == "same"


@pytest.mark.parametrize(
    "changes",
    [{"add_bos": True, "bos": 1}, {"add_eos": True, "eos": 4}, {"kind": "llama", "add_bos": False}],
)
def test_other_rules_make_another_vocabulary_of_the_same_tokens(header, changes):
    assert check_pair(header, changed(header, **changes)).fit != "same"


@pytest.mark.parametrize("token_id", [5, 100, 511])
def test_one_other_token_makes_another_vocabulary(header, token_id):
    tokens = list(header.vocabulary.tokens)
    tokens[token_id] = b"odd"
    check = check_pair(header, changed(header, tokens=tuple(tokens)))
    assert (check.compatible, check.fit) == (True, "tokens")
    assert check.overlap == 506 / 507
    assert check.note == "another vocabulary, 99% in common"


def test_tokens_under_other_ids_are_all_in_common(header):
    other = changed(header, tokens=shifted(header.vocabulary.tokens))
    check = check_pair(header, other)
    assert (check.fit, check.overlap) == ("tokens", 1)
    assert check.note == "another vocabulary, 100% in common"


def test_a_vocabulary_far_longer_than_the_other_has_little_in_common(header):
    more = tuple(b"more%d" % n for n in range(512))
    longer = changed(header, tokens=header.vocabulary.tokens + more, types=())
    check = check_pair(header, longer)
    assert check.overlap == check_pair(longer, header).overlap
    assert check.fit == "text"
    assert check.warning == f"{check.note}: fewer of its guesses will be right"


def test_there_is_a_warning_under_ninety_percent_only(header):
    tokens = header.vocabulary.tokens
    for odd, warned in ((50, False), (51, True)):
        changes = tuple(b"odd%d" % n for n in range(odd))
        check = check_pair(header, changed(header, tokens=(*tokens[:-odd], *changes)))
        assert bool(check.warning) == warned, check.overlap


def test_unused_tokens_are_no_difference(header):
    vocabulary = header.vocabulary
    padding = tuple(b"[PAD%d]" % n for n in range(300))
    types = (*vocabulary.types, *(UNUSED for _ in padding))
    padded = changed(header, tokens=(*shifted(vocabulary.tokens), *padding), types=types)
    assert check_pair(header, padded).overlap == 1


def test_blanks_and_bytes_are_found_however_they_are_written(tmp_path, header):
    pieces = read_header(
        write_tiny_gguf(tmp_path / "pieces.gguf", sentencepiece=True, vocabulary_size=355)
    )
    # All 256 bytes, and of the longer tokens none: the blank is written in two ways.
    assert check_pair(header, pieces).overlap == 256 / 507
    tokens = list(header.vocabulary.tokens)
    at = tokens.index("Ġe".encode())
    words = list(pieces.vocabulary.tokens)
    words[-1] = "▁e".encode()
    assert tokens[at]
    assert check_pair(header, changed(pieces, tokens=tuple(words))).overlap == 257 / 507


def test_the_overlap_in_a_header_is_that_of_the_loaded_models(tmp_path):
    target, draft = write_tiny_pair(tmp_path)
    retokenise(draft, tmp_path / "other.gguf", replaced=0.1, seed=0)
    write_tiny_gguf(tmp_path / "pieces.gguf", sentencepiece=True, vocabulary_size=700)
    with open_model(target) as first:
        for name in ("other", "pieces"):
            with open_model(tmp_path / f"{name}.gguf") as second:
                loaded = VocabularyMap.between(second.vocabulary, first.vocabulary)
                assert check_pair(first.header, second.header).overlap == loaded.overlap


def test_equal_first_tokens_are_no_difference(header):
    both = changed(header, add_bos=True, bos=1)
    assert check_pair(both, both).fit == "same"
    assert check_pair(both, changed(header, add_bos=True, bos=2)).fit == "tokens"


def test_sentencepiece_models_add_a_first_token_unless_told_otherwise(header):
    unsaid = changed(header, kind="llama", add_bos=None, bos=1)
    assert check_pair(unsaid, changed(header, kind="llama", add_bos=True, bos=1)).fit == "same"
    assert check_pair(unsaid, changed(header, kind="llama", add_bos=False)).fit != "same"


def test_vocabularies_with_nothing_in_common_do_not_fit(header):
    strange = tuple(b"strange%d" % n for n in range(512))
    check = check_pair(header, changed(header, tokens=strange))
    assert (check.compatible, check.reason) == (False, "the vocabularies have nothing in common")
    assert check.note == check.warning == ""


def test_a_recurrent_model_is_no_partner(header, tmp_path):
    mamba = read_header(write_tiny_mamba(tmp_path / "mamba.gguf"))
    assert "draft cannot take tokens back: mamba" in check_pair(header, mamba).reason
    assert "target cannot take tokens back: mamba" in check_pair(mamba, header).reason
    assert not check_pair(header, mamba).compatible


def test_a_hybrid_with_snapshots_is_a_target_and_no_draft(header, tmp_path):
    hybrid = read_header(write_tiny_hybrid(tmp_path / "hybrid.gguf", "lfm2"))
    assert check_pair(hybrid, header) == PairCheck(compatible=True)
    assert check_pair(header, hybrid).reason == (
        "the draft cannot take tokens back: lfm2 is a recurrent model"
    )
    without = replace(hybrid, snapshots=0)
    assert "the target cannot take tokens back" in check_pair(without, header).reason
