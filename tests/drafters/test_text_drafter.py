"""Drafts as text: read in the draft's own tokens, proposed in the target's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

import pytest

from config import ROOT
from models.build.retokenise import retokenise
from tests.drafters.vocabularies import Watched, drafter_of, open_model, write
from tests.tiny_gguf import write_tiny_gguf
from utils.draft_pairs import check_pair
from utils.drafters.spelling import Spelling
from utils.drafters.text_drafter import Rereading, TextDrafter
from utils.errors import DraftFullError
from utils.llama.chat_prompt import encode_continued
from utils.llama.model import LlamaModel
from utils.vocabulary_map import VocabularyMap

QUESTIONS = (
    "What is speculative decoding?",
    "Count from 1 to 20.",
    "Write a Python function that adds two numbers.",
)
TOLD = "It is answered with different arithmetic, along with the deletion of headers"
TEXT = "A café, naïve:\n\n    def add(a, b):\n        return a + b  # 12345 → 日本語のテキスト 😀"


class NoEnd:
    def is_end(self, token_id):
        return False


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LlamaModel]]:
    folder = tmp_path_factory.mktemp("texts")
    retokenise(ROOT / "models" / "demo-draft.gguf", folder / "other.gguf", replaced=0.3, seed=4)
    write_tiny_gguf(folder / "tiny.gguf")
    write_tiny_gguf(folder / "pieces.gguf", sentencepiece=True, vocabulary_size=900, add_bos=True)
    paths = {name: folder / f"{name}.gguf" for name in ("other", "tiny", "pieces")}
    paths["target"] = ROOT / "models" / "demo-target.gguf"
    opened = {name: open_model(path) for name, path in paths.items()}
    yield opened
    for model in opened.values():
        model.close()


def question(target: LlamaModel, text: str) -> list[int]:
    chat = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    return target.vocabulary.tokenize(chat, parse_special=True)


def spelling_of(draft: LlamaModel, target: LlamaModel) -> Spelling:
    between = VocabularyMap.between(draft.vocabulary, target.vocabulary)
    encode = partial(encode_continued, draft.vocabulary)
    return Spelling(draft.vocabulary, target.vocabulary, between, encode)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
async def test_the_text_is_that_of_the_target_alone(models, temperature: float):
    target, drafter = models["target"], drafter_of(models["other"], models["target"], "text")
    assert isinstance(drafter, TextDrafter)
    drafted = accepted = 0
    for text in QUESTIONS:
        prompt = question(target, text)
        plain, _ = await write(target, prompt, None, temperature=temperature, deterministic=True)
        got, rounds = await write(
            target, prompt, drafter, temperature=temperature, deterministic=True
        )
        assert got == plain
        drafted += sum(stats.drafted for stats in rounds)
        accepted += sum(stats.accepted for stats in rounds)
    assert accepted / drafted > 0.3


@pytest.mark.parametrize("name", ["pieces", "other"])
async def test_any_tokens_can_be_read(models, name: str):
    target, draft = models["tiny"], models[name]
    rng = random.Random(5)
    drafter = drafter_of(draft, target, "text")
    for _ in range(6):
        prompt = [rng.randrange(512) for _ in range(rng.randint(1, 100))]
        plain, _ = await write(target, prompt, None, temperature=0.8)
        assert (await write(target, prompt, drafter, temperature=0.8))[0] == plain


@pytest.mark.parametrize("verifier", ["rejection", "block"])
async def test_other_rules_of_verification_judge_it_too(models, verifier: str):
    target, drafter = models["target"], drafter_of(models["other"], models["target"], "text")
    _, rounds = await write(
        target, question(target, QUESTIONS[0]), drafter, temperature=0.8, verifier=verifier
    )
    assert sum(stats.accepted for stats in rounds) > 5


async def test_the_cache_is_a_prefix_of_the_text_through_rejections_and_turns(models):
    target, draft = models["target"], models["other"]
    spelling, rejected, checked = spelling_of(draft, target), 0, 0

    def check(token_ids):
        nonlocal checked
        anew = Rereading(spelling)
        anew.read(token_ids)
        held = draft.session.cached
        assert list(held) == anew.ids[: len(held)]
        assert len(held) < len(anew.ids)
        checked += 1

    watched = Watched(drafter_of(draft, target, "text"), check)
    conversation: list[int] = []
    for text in QUESTIONS:
        conversation += question(target, text)
        written, rounds = await write(target, conversation, watched, temperature=0.8)
        conversation += written
        rejected += sum(stats.drafted - stats.accepted for stats in rounds)
    assert rejected > 5
    assert checked > 10


def test_what_the_draft_read_otherwise_before_a_word_was_whole_is_read_anew(models):
    target, draft = models["tiny"], models["other"]
    drafter = drafter_of(draft, target, "text")
    letters = {target.vocabulary.piece(n): n for n in range(target.vocabulary.size)}
    token_ids = [letters[bytes([byte])] for byte in TOLD.encode()]
    drafter.begin(token_ids[:1])
    changed = 0
    for count in range(2, len(token_ids) + 1):
        held = list(draft.session.cached)
        drafter.propose(token_ids[:count], 1, NoEnd())
        drafter.observe(token_ids[:count])
        kept = list(draft.session.cached)
        assert kept == draft.vocabulary.tokenize(TOLD[:count], parse_special=False)[: len(kept)]
        changed += kept[: len(held)] != held
    assert changed > 3


async def test_what_was_read_of_a_conversation_is_not_read_again(models):
    target, draft = models["target"], models["other"]
    drafter = drafter_of(draft, target, "text")
    prompt = question(target, QUESTIONS[0])
    written, _ = await write(target, prompt, drafter)
    longer = [*prompt, *written, *question(target, QUESTIONS[1])]
    drafter.begin(longer)
    assert drafter.lag(longer) < len(question(target, QUESTIONS[1])) + 10


@pytest.mark.parametrize("name", ["other", "pieces"])
def test_a_text_read_bit_by_bit_stays_that_text(models, name: str):
    target, draft = models["target"], models[name]
    token_ids = target.vocabulary.tokenize(TEXT, parse_special=False)
    reading = Rereading(spelling_of(draft, target))
    for count in range(len(token_ids) + 1):
        reading.read(token_ids[:count])
        held = draft.vocabulary.detokenize(reading.ids)
        assert held == target.vocabulary.detokenize(token_ids[:count])


def test_a_text_read_bit_by_bit_is_tokenized_like_a_whole_one(models):
    target, draft = models["target"], models["other"]
    text = " ".join(QUESTIONS) + "\nIt drafts a few tokens, and the target checks them.\n"
    token_ids = target.vocabulary.tokenize(text, parse_special=False)
    reading = Rereading(spelling_of(draft, target))
    for count in range(len(token_ids) + 1):
        before = list(reading.ids)
        same = reading.read(token_ids[:count])
        assert reading.ids[:same] == before[:same]
    assert reading.ids == draft.vocabulary.tokenize(text, parse_special=False)


def test_long_text_without_blanks_is_not_read_from_its_beginning_each_time(models):
    target, draft = models["target"], models["other"]
    token_ids = target.vocabulary.tokenize("日本語" * 300, parse_special=False)
    reading = Rereading(spelling_of(draft, target))
    reading.read(token_ids[:-1])
    assert reading.read(token_ids) > 0.5 * len(reading.ids)
    assert draft.vocabulary.detokenize(reading.ids) == ("日本語" * 300).encode()


def test_control_tokens_become_the_drafts_own_or_plain_text(models):
    target, draft = models["tiny"], models["other"]
    reading = Rereading(spelling_of(draft, target))
    reading.read([1, 2, 3])
    shown = [draft.vocabulary.text(token_id) for token_id in reading.ids]
    assert shown == ["<|im_start|>", "<|im_end|>", "<|reserved_0|>"]
    pieces = models["pieces"]
    reading = Rereading(spelling_of(pieces, target))
    reading.read([1, 2])
    assert reading.ids[0] == pieces.vocabulary.bos
    assert reading.ids[-1] == pieces.vocabulary.eos
    assert pieces.vocabulary.detokenize(reading.ids) == b"<|im_start|>"


async def test_only_whole_words_are_proposed(models):
    target, draft = models["target"], models["other"]
    drafter = drafter_of(draft, target, "text")
    prompt = question(target, QUESTIONS[0])
    drafter.begin(prompt)

    margins: list[float] = []

    def wants_more(margin: float) -> bool:
        margins.append(margin)
        return len(margins) < 4

    proposed = drafter.propose(prompt, 16, NoEnd(), wants_more)
    text = target.vocabulary.detokenize(list(proposed.token_ids)).decode()
    ahead = drafter._session.cached[len(drafter._reading.ids) :]
    written = draft.vocabulary.detokenize(list(ahead)).decode()
    assert len(margins) == len(proposed.token_ids) >= 4
    assert written.startswith(text)
    assert target.vocabulary.tokenize(text, parse_special=False) == list(proposed.token_ids)
    assert all(margin > 0 for margin in margins)


async def test_drafting_ends_with_the_context_of_the_draft(models, monkeypatch):
    target, draft = models["target"], models["other"]
    drafter, prompt = drafter_of(draft, target, "text"), question(target, QUESTIONS[0])
    drafter.begin(prompt)
    monkeypatch.setattr(draft.session, "n_ctx", len(drafter._reading.ids) + 20)
    plain, _ = await write(target, prompt, None)
    full = f"the draft's context is full: {draft.session.n_ctx} tokens"
    got, rounds = await write(target, prompt, drafter, ends=full)
    assert got == plain
    assert rounds[0].drafted + rounds[1].drafted > 0
    assert rounds[-1].drafted == 0
    with pytest.raises(DraftFullError, match=full):
        drafter.begin([*prompt, *got])


def test_vocabularies_with_little_in_common_are_drafted_as_text(models):
    check = check_pair(models["tiny"].header, models["pieces"].header)
    assert check.compatible
    assert check.fit == "text"
    assert check.overlap < 0.5
