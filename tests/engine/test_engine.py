"""The engine by itself, on this thread: targets, drafts, memory and failures."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest

from config import ROOT, ModelOptions, SpeculativeConfig
from models.build.retokenise import retokenise
from tests.engine.conftest import PLAIN, Heard, drafted, greedy, user
from tests.tiny_gguf import CHAT_TEMPLATE, write_tiny_gguf, write_tiny_mamba
from utils.engine import draft_shelf, engine, memory
from utils.engine.engine import Engine
from utils.engine.protocol import (
    COMPARISONS_OF,
    ChatMessage,
    DraftChoice,
    Generate,
    Load,
    Loaded,
)
from utils.errors import (
    DraftError,
    ModelError,
    ModelFileError,
    ModelLoadError,
    RequestError,
    TargetError,
)
from utils.events import Mode, Prefilled, Tokens
from utils.llama.chat_template import ChatTemplate
from utils.llama.gguf_header import read_header
from utils.llama.model import LlamaModel
from utils.llama.session import LlamaSession

ADAPTIVE = SpeculativeConfig()
OPTIONS = ModelOptions(context_tokens=1024, threads=1, batch_threads=1, batch_tokens=64)


async def load(into: Engine, path: Path, should_stop=lambda: False) -> Loaded:
    request = Load(id="l", path=str(path), options=OPTIONS)
    return await into.load(request, report=lambda *_: None, should_stop=should_stop)


async def answer(
    by: Engine, text: str, choice: DraftChoice | None = None, speculative=None, **options
) -> Heard:
    request = Generate(
        id="g",
        messages=tuple(user(text)),
        owner=options.pop("owner", ""),
        sampling=greedy(options.pop("max_tokens", 24)),
        speculative=speculative or (drafted("any") if choice else PLAIN),
        draft=choice or DraftChoice(kind="none"),
    )
    stop = options.pop("should_stop", lambda: False)
    return Heard([event async for event in by.generate(request, stop)])


def model(path: Path) -> DraftChoice:
    return DraftChoice(kind="model", name=path.stem, path=str(path))


def draft_that_read_nothing(engine: Engine) -> LlamaSession:
    """Return the session of the one open draft, emptied."""
    (opened,) = engine._target.drafts._models.values()
    opened.model.session.rollback(0)
    return opened.model.session


@pytest.fixture
async def loaded(folder: Path) -> AsyncIterator[Engine]:
    own = Engine()
    await load(own, folder / "target.gguf")
    yield own
    own.close()


async def test_loading_measures_the_plain_speed_and_leaves_no_text_behind(folder: Path):
    own = Engine()
    result = await load(own, folder / "target.gguf")
    assert result.baseline.origin == "calibration"
    assert 3 <= result.baseline.samples <= 32
    assert own.stats("s").cached_tokens == 0
    own.close()
    assert own.stats("s").target is None


async def test_a_refused_target_leaves_the_old_one(loaded: Engine, folder: Path):
    for name, error in (("garbage", ModelFileError), ("sick", TargetError)):
        with pytest.raises(error):
            await load(loaded, folder / f"{name}.gguf")
    assert (await answer(loaded, "hello")).finished.reason == "length"


@pytest.mark.parametrize("is_known_to_fit", [False, None])
async def test_where_two_targets_are_not_known_to_fit_the_old_one_is_closed_first(
    loaded: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, is_known_to_fit: bool | None
):
    monkeypatch.setattr(engine, "fits", lambda *_: is_known_to_fit)
    with pytest.raises(TargetError):
        await load(loaded, folder / "sick.gguf")
    assert loaded.stats("s").target is None
    with pytest.raises(ModelError, match="no target is loaded"):
        await answer(loaded, "hello")


async def test_a_model_larger_than_memory_is_refused_before_it_is_read(
    loaded: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(ModelLoadError, match="does not fit in memory"):
        await load(loaded, folder / "draft.gguf")
    own = Engine()
    monkeypatch.undo()
    await load(own, folder / "target.gguf")
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    heard = await answer(own, "hello", model(folder / "draft.gguf"))
    assert heard.mode.mode == "standard"
    assert "does not fit in memory" in heard.mode.reason
    own.close()


async def test_where_the_draft_does_not_fit_beside_the_target_lookup_goes_on_with_the_reason(
    loaded: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    heard = await answer(loaded, "hello", model(folder / "draft.gguf"), ADAPTIVE)
    assert heard.all(Mode)[0].drafter == "lookup"
    assert "draft 'draft' cannot be used: model does not fit in memory" in heard.mode.reason
    with pytest.raises(DraftError, match="does not fit in memory"):
        await answer(
            loaded,
            "hello",
            model(folder / "draft.gguf"),
            SpeculativeConfig(fallback_enabled=False),
        )


async def test_lookup_says_which_draft_there_was_no_memory_for(loaded: Engine):
    choice = DraftChoice(kind="lookup", name="lookup", problem="draft x does not fit in memory")
    heard = await answer(loaded, "hello", choice, ADAPTIVE)
    assert heard.all(Mode)[0] == Mode("speculative", "lookup", "draft x does not fit in memory")


async def test_a_draft_makes_room_for_the_next_one_where_both_do_not_fit(
    loaded: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    await answer(loaded, "hello", model(folder / "draft.gguf"))
    shelf = loaded._target.drafts
    monkeypatch.setattr(draft_shelf, "fits", lambda *_: not shelf._models)
    heard = await answer(loaded, "hello", model(folder / "target.gguf"))
    assert heard.mode.mode == "speculative"
    assert [path.name for path in shelf._models] == ["target.gguf"]


async def test_drafts_are_dropped_before_the_target_is(
    loaded: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    await answer(loaded, "hello", model(folder / "draft.gguf"))
    shelf = loaded._target.drafts
    monkeypatch.setattr(engine, "fits", lambda *_: not shelf._models)
    with pytest.raises(TargetError):
        await load(loaded, folder / "sick.gguf")
    assert loaded.stats("s").open_drafts == ()
    assert (await answer(loaded, "hello")).finished.reason == "length"


async def test_a_recurrent_target_answers_in_standard_mode_and_says_why(
    folder: Path, tmp_path: Path
):
    own = Engine()
    await load(own, write_tiny_mamba(tmp_path / "mamba.gguf"))
    lookup = DraftChoice(kind="lookup", name="lookup")
    for choice in (lookup, model(folder / "draft.gguf")):
        heard = await answer(own, "hello", choice, ADAPTIVE)
        assert heard.mode.mode == "standard"
        assert heard.mode.reason == "the target cannot take tokens back: it is a recurrent model"
        assert heard.finished.reason == "length"
    own.close()


async def test_a_recurrent_draft_leaves_lookup_with_the_reason(loaded: Engine, tmp_path: Path):
    path = write_tiny_mamba(tmp_path / "mamba.gguf")
    heard = await answer(loaded, "hello", model(path), ADAPTIVE)
    assert heard.all(Mode)[0].drafter == "lookup"
    assert "draft cannot take tokens back: mamba" in heard.mode.reason


async def test_loading_stops_when_told_to(loaded: Engine, folder: Path):
    with pytest.raises(ModelLoadError):
        await load(loaded, folder / "draft.gguf", should_stop=lambda: True)


@pytest.mark.parametrize("speculative", [ADAPTIVE, drafted("any")], ids=["adaptive", "fixed"])
async def test_an_answer_that_is_stopped_while_its_draft_is_opened_is_no_failure(
    loaded: Engine, folder: Path, speculative: SpeculativeConfig
):
    strict = speculative.model_copy(update={"fallback_enabled": False})
    draft = model(folder / "draft.gguf")
    heard = await answer(loaded, "hello", draft, strict, should_stop=lambda: True)
    assert heard.finished.reason == "cancelled"
    assert not heard.tokens
    assert (await answer(loaded, "hello", draft, strict)).mode.drafter == "draft"


async def test_a_draft_that_cannot_be_fitted_is_closed_again(
    loaded: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    closed = []
    close = LlamaModel.close
    monkeypatch.setattr(LlamaModel, "close", lambda self: (closed.append(self), close(self)))

    def fail(*_: object) -> None:
        raise ValueError("out of order")

    monkeypatch.setattr(draft_shelf, "fit_models", fail)
    with pytest.raises(ValueError, match="out of order"):
        await answer(loaded, "hello", model(folder / "draft.gguf"))
    assert [Path(opened.info.path).name for opened in closed] == ["draft.gguf"]


async def test_texts_to_look_up_are_forgotten_of_whoever_was_away_longest_once_they_are_many(
    loaded: Engine, monkeypatch: pytest.MonkeyPatch
):
    lookup = DraftChoice(kind="lookup", name="lookup")
    shelf = loaded._target.drafts

    async def held_after(owner: str, text: str) -> list[int]:
        """Let one more be answered; return what is kept then, of the newest last."""
        await answer(loaded, text, lookup, ADAPTIVE, owner=owner)
        return [kept.lookup.indexed_tokens for kept in shelf._owners.values()]

    text = "a few words to be looked up "
    (each,) = await held_after("first", text)
    monkeypatch.setattr(draft_shelf, "MOST_LOOKED_UP_TOKENS", int(1.5 * each))
    assert await held_after("second", text) == [each, each]
    assert await held_after("third", text) == [0, each, each]
    assert shelf._owners["first"].records
    await held_after("third", 3 * text)
    held = await held_after("third", text)
    assert held[:2] == [0, 0]
    assert held[2] > 3 * each


async def test_the_newest_two_drafts_stay_open(loaded: Engine, folder: Path, tmp_path: Path):
    drafts = [write_tiny_gguf(tmp_path / f"d{n}.gguf", noise=0.1 * n) for n in range(3)]
    texts = {(await answer(loaded, "hello", model(drafts[n]))).text for n in (0, 1, 0, 2, 1, 0, 1)}
    assert len(texts) == 1
    shelf = loaded._target.drafts
    assert [path.name for path in shelf._models] == ["d0.gguf", "d1.gguf"]
    assert len(shelf._models) == draft_shelf.OPEN_DRAFTS
    stats = loaded.stats("s")
    assert [draft.path for draft in stats.open_drafts] == [str(drafts[1]), str(drafts[0])]
    assert stats.draft_bytes == sum(draft.size_bytes for draft in stats.open_drafts)


async def test_a_draft_of_another_vocabulary_drafts_the_same_text(
    loaded: Engine, folder: Path, tmp_path: Path
):
    retokenise(folder / "draft.gguf", tmp_path / "permuted.gguf", replaced=0.0, seed=1)
    write_tiny_gguf(tmp_path / "pieces.gguf", sentencepiece=True, vocabulary_size=900)
    plain = await answer(loaded, "hello")
    same = await answer(loaded, "hello", model(folder / "draft.gguf"))
    for path in (folder / "stranger.gguf", tmp_path / "permuted.gguf", tmp_path / "pieces.gguf"):
        heard = await answer(loaded, "hello", model(path))
        assert heard.mode.mode == "speculative", heard.mode.reason
        assert heard.text == plain.text
        if path.stem == "permuted":
            assert heard.finished.stats.accepted == same.finished.stats.accepted > 0


async def test_what_the_vocabularies_have_in_common_is_said(loaded: Engine, folder: Path):
    heard = await answer(
        loaded, "hello", model(folder / "stranger.gguf"), SpeculativeConfig(draft_length="adaptive")
    )
    first = next(mode for mode in heard.all(Mode))
    assert first.mode == "speculative"
    assert "another vocabulary, 58% in common" in first.reason


async def test_without_fallback_a_draft_that_cannot_be_used_fails_the_answer(
    loaded: Engine, folder: Path
):
    for choice in (
        model(folder / "nowhere.gguf"),
        DraftChoice(kind="model", name="x", problem="no model is called 'x'"),
    ):
        with pytest.raises(DraftError):
            await answer(loaded, "hello", choice, drafted("x", fallback_enabled=False))
        assert (await answer(loaded, "hello", choice)).mode.mode == "standard"


@pytest.mark.parametrize("role", ["target", "draft"])
async def test_a_model_that_cannot_take_tokens_back_is_not_drafted_with(
    loaded: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, role: str
):
    cut = LlamaSession.cut
    if role == "target":
        loaded._target.model.can_rollback = False
    else:
        monkeypatch.setattr(
            LlamaSession,
            "cut",
            lambda self, length: length == 0 and cut(self, length),
        )
    heard = await answer(loaded, "hello", model(folder / "draft.gguf"))
    assert heard.mode.mode == "standard"
    assert "take tokens back" in heard.mode.reason


async def test_a_failing_target_fails_the_answer_and_the_next_one_is_right(
    loaded: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    before = await answer(loaded, "hello", model(folder / "draft.gguf"))
    decode = LlamaSession.decode
    target = loaded._target.model.session
    calls = []

    def fail_once(self, token_ids, *, rows, width=0):
        if self is target and rows and not calls.append(None) and len(calls) == 3:
            self.cut(1)
            raise ModelError("out of order")
        return decode(self, token_ids, rows=rows, width=width)

    monkeypatch.setattr(LlamaSession, "decode", fail_once)
    with pytest.raises(TargetError, match="out of order"):
        await answer(loaded, "hello", model(folder / "draft.gguf"))
    assert loaded.stats("s").cached_tokens == 0
    after = await answer(loaded, "hello", model(folder / "draft.gguf"))
    assert after.text == before.text
    assert after.started.reused_tokens == 0


async def test_lookup_leaves_earlier_answers_alone_where_it_is_told_to(loaded: Engine):
    lookup = DraftChoice(kind="lookup", name="lookup")

    async def accepted(*, earlier: bool) -> int:
        speculative = drafted("lookup", lookup_earlier=earlier)
        heard = await answer(loaded, "hello", lookup, speculative, max_tokens=60)
        return heard.finished.stats.accepted

    alone = await accepted(earlier=True)
    assert await accepted(earlier=True) > alone
    assert await accepted(earlier=False) == alone
    assert await accepted(earlier=False) == alone


async def test_a_draft_reads_when_nobody_waits_what_it_did_not_draft(loaded: Engine, folder: Path):
    await answer(loaded, "hello", model(folder / "draft.gguf"), ADAPTIVE, max_tokens=60)
    draft, read = draft_that_read_nothing(loaded), loaded._target.model.session.cached

    await loaded.catch_up(lambda: True)
    assert list(draft.cached) == []
    await loaded.catch_up(lambda: len(draft.cached) > 0)
    assert 0 < len(draft.cached) < len(read)
    held = len(draft.cached)
    asked = chain([False], repeat(True))
    await loaded.catch_up(lambda: next(asked))
    assert held <= len(draft.cached) < len(read)
    await loaded.catch_up(lambda: False)
    assert list(draft.cached) == list(read)


async def test_a_prompt_that_was_not_read_to_its_end_teaches_nothing(loaded: Engine, folder: Path):
    draft = model(folder / "draft.gguf")
    await answer(loaded, "hello", draft, ADAPTIVE)
    (record,) = loaded._target.drafts._owner("").records.values()
    known = record.margins.observed
    stop = chain(repeat(False, 20), repeat(True))
    heard = await answer(loaded, "q " * 400, draft, ADAPTIVE, should_stop=lambda: next(stop))
    assert heard.finished.reason == "cancelled"
    await loaded.catch_up(lambda: False)
    assert record.margins.observed == known


async def test_nothing_is_read_on_after_an_answer_that_is_compared_with_the_next(
    loaded: Engine, folder: Path
):
    choice = model(folder / "draft.gguf")
    await answer(loaded, "hello", choice, ADAPTIVE, owner=f"{COMPARISONS_OF}me")
    draft = draft_that_read_nothing(loaded)
    await loaded.catch_up(lambda: False)
    assert list(draft.cached) == []


async def test_a_draft_reads_nothing_after_an_answer_that_had_none(loaded: Engine, folder: Path):
    await answer(loaded, "hello", model(folder / "draft.gguf"), ADAPTIVE)
    await answer(loaded, "hello again")
    draft = draft_that_read_nothing(loaded)
    await loaded.catch_up(lambda: False)
    assert list(draft.cached) == []


async def test_a_draft_that_fails_when_nobody_waits_harms_nobody(loaded: Engine, folder: Path):
    await answer(loaded, "hello", model(folder / "draft.gguf"), ADAPTIVE)
    loaded._target.drafts.close()
    await loaded.catch_up(lambda: False)
    assert (await answer(loaded, "hello again")).text


async def test_nothing_to_answer_is_refused(loaded: Engine):
    with pytest.raises(RequestError, match="last message is empty"):
        await answer(loaded, "  ")


async def test_stopping_in_a_prompt_keeps_what_was_read(loaded: Engine):
    text = "".join(chr(97 + n * n % 26) for n in range(600))
    asked = []

    def should_stop() -> bool:
        asked.append(None)
        return len(asked) > 200

    heard = await answer(loaded, text, should_stop=should_stop)
    assert heard.finished.reason == "cancelled"
    assert not heard.all(Tokens)
    held = loaded.stats("s").cached_tokens
    assert held > 0
    again = await answer(loaded, text)
    assert again.started.reused_tokens == held
    assert again.all(Prefilled)[-1].done == again.started.prompt_tokens - 1


def test_memory_is_told_where_the_system_tells_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    assert memory.resident_bytes() > 2**20
    header = read_header(folder / "target.gguf")
    assert memory.fits(header, OPTIONS)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    assert memory.fits(header, OPTIONS) is None
    memory.require_memory(replace(header, size_bytes=2**60), OPTIONS)


def test_memory_is_guessed_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(memory, "PROC", tmp_path)
    assert memory.resident_bytes() > 2**20
    assert memory.available_bytes() is None


THINKING_TEMPLATE = CHAT_TEMPLATE.replace("assistant\n' }}", "assistant\n<think>\n' }}")


@pytest.fixture
async def thinker() -> AsyncIterator[Engine]:
    """The embedded target, which writes words, with a template that begins a thought."""
    own = Engine()
    await load(own, ROOT / "models" / "demo-target.gguf")
    assert own._target is not None
    own._target.prompts._template = ChatTemplate(THINKING_TEMPLATE)
    yield own
    own.close()


@pytest.mark.parametrize("is_apart", [True, False])
async def test_a_second_turn_reuses_all_of_a_thought_that_its_template_leaves_alone(
    thinker: Engine, is_apart
):
    first = await answer(thinker, "Tell me a story.", max_tokens=12)
    assert first.started.opened == "<think>\n"
    whole = f"<think>\n{first.text}"
    said = ChatMessage(role="assistant", content="Yes.", thinking=first.text)
    request = Generate(
        id="g",
        messages=(
            *user("Tell me a story."),
            said if is_apart else ChatMessage(role="assistant", content=whole),
            *user("Bye"),
        ),
        sampling=greedy(1),
        speculative=PLAIN,
        draft=DraftChoice(kind="none"),
    )
    second = Heard([event async for event in thinker.generate(request, lambda: False)])
    stats = first.finished.stats
    assert second.started.reused_tokens >= stats.prompt_tokens + stats.completion_tokens - 1


async def test_a_prompt_that_opens_no_thought_says_nothing_of_it(loaded: Engine):
    assert (await answer(loaded, "Hello")).started.opened == ""


async def test_an_answer_is_gone_on_with_after_one_mark_not_two(thinker: Engine):
    request = Generate(
        id="g",
        messages=tuple(user("Hello")),
        sampling=greedy(4),
        speculative=PLAIN,
        draft=DraftChoice(kind="none"),
    )
    lengths = []
    for written in ("Hm", "<think>\nHm"):
        changed = request.model_copy(update={"written": written})
        heard = Heard([event async for event in thinker.generate(changed, lambda: False)])
        lengths.append(heard.started.prompt_tokens)
    assert lengths[0] == lengths[1]
