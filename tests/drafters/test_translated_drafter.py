"""Drafts of another vocabulary that shares most tokens: same text, no fewer drafts kept."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from models.build.retokenise import retokenise
from tests.drafters.vocabularies import Watched, drafter_of, kept, open_model, write
from tests.tiny_gguf import write_tiny_gguf, write_tiny_pair
from utils.draft_length import PROBE_ROUNDS
from utils.draft_pairs import check_pair
from utils.drafters.model_drafter import ModelDrafter
from utils.drafters.translated_drafter import TranslatedDrafter
from utils.errors import DraftFullError
from utils.llama.model import LlamaModel

RANDOM_PROMPTS = 12


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LlamaModel]]:
    folder = tmp_path_factory.mktemp("vocabularies")
    _, draft = write_tiny_pair(folder)
    retokenise(draft, folder / "permuted.gguf", replaced=0.0, seed=1)
    retokenise(draft, folder / "changed.gguf", replaced=0.05, seed=2)
    write_tiny_gguf(folder / "shorter.gguf", noise=0.15, vocabulary_size=400)
    write_tiny_gguf(folder / "pieces.gguf", sentencepiece=True, vocabulary_size=512, add_bos=True)
    names = ("target", "draft", "permuted", "changed", "shorter", "pieces")
    opened = {name: open_model(folder / f"{name}.gguf") for name in names}
    yield opened
    for model in opened.values():
        model.close()


def prompts(target: LlamaModel, count: int = RANDOM_PROMPTS) -> list[list[int]]:
    rng, size = random.Random(7), target.vocabulary.size
    return [[rng.randrange(size) for _ in range(rng.randint(1, 150))] for _ in range(count)]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("name", ["permuted", "changed", "shorter", "pieces"])
async def test_the_text_is_that_of_the_target_alone(models, name: str, temperature: float):
    target = models["target"]
    drafter = drafter_of(models[name], target, "tokens")
    drafted = accepted = 0
    for prompt in prompts(target):
        plain, _ = await write(target, prompt, None, temperature=temperature)
        got, rounds = await write(target, prompt, drafter, temperature=temperature)
        assert got == plain
        drafted += sum(stats.drafted for stats in rounds)
        accepted += sum(stats.accepted for stats in rounds)
    assert drafted > 0
    # Spelled otherwise, a text is another one to a model of random weights.
    assert accepted / drafted >= {"permuted": 0.2, "changed": 0.01}.get(name, 0)


@pytest.mark.parametrize("verifier", ["rejection", "block"])
async def test_other_rules_of_verification_judge_it_too(models, verifier: str):
    target = models["target"]
    drafter = drafter_of(models["changed"], target, "tokens")
    _, rounds = await write(target, prompts(target)[1], drafter, temperature=0.8, verifier=verifier)
    assert 0 < sum(stats.accepted for stats in rounds) < sum(stats.drafted for stats in rounds)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
async def test_with_other_ids_alone_the_same_drafts_are_kept(models, temperature: float):
    target = models["target"]
    same = drafter_of(models["draft"], target, "same")
    other = drafter_of(models["permuted"], target, "tokens")
    assert type(same) is ModelDrafter
    assert type(other) is TranslatedDrafter
    for prompt in prompts(target):
        _, ours = await write(target, prompt, same, temperature=temperature)
        _, theirs = await write(target, prompt, other, temperature=temperature)
        assert kept(theirs) == kept(ours)


async def test_tokens_that_the_draft_has_not_are_never_drafted(models):
    target, draft = models["target"], models["changed"]
    known = {draft.vocabulary.piece(n) for n in range(draft.vocabulary.size)}
    lacking = {n for n in range(target.vocabulary.size) if target.vocabulary.piece(n) not in known}
    assert len(lacking) == round(0.05 * 512)
    watched = Watched(drafter_of(draft, target, "tokens"))
    emitted = set()
    for prompt in prompts(target):
        emitted.update((await write(target, prompt, watched, temperature=2.0))[0])
    assert lacking & emitted
    assert not (lacking | target.vocabulary.control_ids) & set(watched.proposed)


async def test_the_cache_is_a_prefix_of_the_spelled_text_through_rejections_and_turns(models):
    target, draft = models["target"], models["changed"]
    rejected = 0

    def check(token_ids):
        text = b"".join(map(target.vocabulary.piece, token_ids))
        held = b"".join(map(draft.vocabulary.piece, draft.session.cached))
        assert text.startswith(held)
        # In the first round, the first token does not wait for the draft to read the prompt; what
        # is written in plain rounds is read after them.
        assert 1 <= drafter.lag(token_ids) <= 2 + PROBE_ROUNDS or not held

    drafter = drafter_of(draft, target, "tokens")
    watched = Watched(drafter, check)
    conversation = prompts(target)[2][:60]
    for turn in range(4):
        written, rounds = await write(target, conversation, watched, temperature=0.8)
        rejected += sum(stats.drafted - stats.accepted for stats in rounds)
        conversation += [*written, *prompts(target)[turn][:10]]
    assert rejected > 10


async def test_what_was_read_of_a_conversation_is_not_read_again(models):
    target, draft = models["target"], models["permuted"]
    drafter = drafter_of(draft, target, "tokens")
    prompt = prompts(target)[0]
    written, _ = await write(target, prompt, drafter)
    longer = [*prompt, *written, 40, 41, 42]
    drafter.begin(longer)
    assert drafter.lag(longer) <= 5


async def test_a_draft_whose_memory_was_emptied_reads_anew(models):
    target, draft = models["target"], models["permuted"]
    drafter = drafter_of(draft, target, "tokens")
    prompt = prompts(target)[3]
    first, rounds = await write(target, prompt, drafter)
    draft.session.clear()
    second, rounds_anew = await write(target, prompt, drafter)
    assert second == first
    assert kept(rounds_anew) == kept(rounds)


async def test_a_draft_with_fewer_tokens_reads_prompts_beyond_them(models):
    target, draft = models["target"], models["shorter"]
    assert check_pair(target.header, draft.header).fit == "same"
    drafter = drafter_of(draft, target, "same")
    beyond = [511, 450, 400, 399, 30]
    plain, _ = await write(target, beyond, None)
    got, rounds = await write(target, beyond, drafter)
    assert got == plain
    assert sum(stats.drafted for stats in rounds)


async def test_drafting_ends_with_the_context_of_the_draft(models, tmp_path):
    target = models["target"]
    short = write_tiny_gguf(tmp_path / "short.gguf", context=64)
    retokenise(short, tmp_path / "other.gguf", replaced=0.3, seed=1)
    with open_model(tmp_path / "other.gguf") as draft:
        drafter = drafter_of(draft, target, "tokens")
        prompt = prompts(target)[0][:30]
        plain, _ = await write(target, prompt, None, max_tokens=80)
        full = "the draft's context is full: 64 tokens"
        got, rounds = await write(target, prompt, drafter, max_tokens=80, ends=full)
        assert got == plain
        assert len(draft.session.cached) > 50
        assert rounds[-1].drafted == 0
        with pytest.raises(DraftFullError, match=full):
            drafter.begin([*prompt, *got])
