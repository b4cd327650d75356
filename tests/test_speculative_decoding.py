"""The round loop over a fake model: state, limits, fallback, events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import numpy as np
import pytest

from config import SamplingParams, SpeculativeConfig
from tests.fake_model import FakeSession, FakeVocabulary
from utils.drafters.lookup import LookupDrafter
from utils.drafters.model_drafter import ModelDrafter
from utils.drafters.protocol import Drafter, Picker
from utils.errors import ContextFullError, DraftError, RequestError, TargetError
from utils.events import Event, Finished, Mode, Prefilled, Started, Token, Tokens
from utils.model_session import DecodeAborted
from utils.performance_monitor import PlainClock
from utils.speculative_decoding import SpeculativeDecoder
from utils.token_validator import Draft

SIZE = 12
END = 11
SAMPLING = SamplingParams(temperature=0.9, seed=7, max_tokens=60)
GREEDY = SamplingParams(temperature=0, max_tokens=60)
SPECULATIVE = SpeculativeConfig(acceptance_threshold=0)


def table(noise: float = 0.0, end: float = -30.0) -> np.ndarray:
    logits = np.random.default_rng(1).standard_normal((SIZE, SIZE)) * 2
    logits += noise * np.random.default_rng(2).standard_normal((SIZE, SIZE))
    logits[:, END] = end
    return logits.astype(np.float32)


def model_drafter(noise: float = 0.5, **kwargs: int) -> ModelDrafter:
    return ModelDrafter("small", FakeSession(table(noise), **kwargs), vocabulary_size=SIZE)


class Answer:
    """All events of one answer, and what a reader wants to know of them."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        rounds = [event for event in events if isinstance(event, Tokens)]
        self.tokens: list[Token] = [token for event in rounds for token in event.tokens]
        self.ids = [token.token_id for token in self.tokens]
        self.text = "".join(token.text for token in self.tokens)
        self.rounds = [stats for event in rounds for stats in event.rounds]
        self.modes = [event for event in events if isinstance(event, Mode)]
        self.finished = events[-1]
        assert isinstance(self.finished, Finished)
        self.stats = self.finished.stats


async def write(
    target: FakeSession,
    prompt: Sequence[int] = (1, 2, 3),
    *,
    sampling: SamplingParams = SAMPLING,
    speculative: SpeculativeConfig = SPECULATIVE,
    drafter: Drafter | None = None,
    clock: PlainClock | None = None,
    **options: object,
) -> Answer:
    decoder = SpeculativeDecoder(target, FakeVocabulary(SIZE, END), clock=clock)
    stream: AsyncGenerator[Event, None] = decoder.generate(
        prompt, sampling=sampling, speculative=speculative, drafter=drafter, **options
    )
    committed, events = len(prompt), []
    async for event in stream:
        events.append(event)
        if isinstance(event, Tokens) and event.rounds:
            committed += event.rounds[0].emitted
            assert len(target.cached) == committed - 1
    return Answer(events)


async def test_events_come_in_order() -> None:
    answer = await write(
        FakeSession(table(), max_batch=2), [1, 2, 3, 4, 5], drafter=model_drafter()
    )
    kinds = [type(event) for event in answer.events]
    assert kinds[:5] == [Started, Prefilled, Prefilled, Prefilled, Mode]
    assert set(kinds[5:-1]) == {Tokens}
    assert [e.done for e in answer.events if isinstance(e, Prefilled)] == [0, 2, 4]


@pytest.mark.parametrize("sampling", [SAMPLING, GREEDY], ids=["coupled", "greedy"])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 16])
async def test_the_text_is_the_same_with_any_draft_and_any_draft_length(
    sampling: SamplingParams, length: int
) -> None:
    plain = await write(FakeSession(table()), sampling=sampling)
    speculative = SPECULATIVE.model_copy(update={"max_draft_tokens": length})
    for drafter in (model_drafter(0), model_drafter(0.5), model_drafter(9), LookupDrafter()):
        answer = await write(
            FakeSession(table()), sampling=sampling, speculative=speculative, drafter=drafter
        )
        assert answer.ids == plain.ids
        assert answer.text == plain.text


async def test_the_target_as_its_own_draft_is_accepted_whole() -> None:
    answer = await write(FakeSession(table()), drafter=model_drafter(0))
    drafting = [r for r in answer.rounds if r.drafted]
    assert all(r.accepted == r.drafted for r in drafting)
    assert answer.stats.acceptance_rate == 1


async def test_rounds_sum_to_the_answers_stats() -> None:
    answer = await write(FakeSession(table()), drafter=model_drafter())
    stats = answer.stats
    assert stats.completion_tokens == sum(r.emitted for r in answer.rounds) == 60
    assert stats.drafted == sum(r.drafted for r in answer.rounds)
    assert stats.accepted == sum(r.accepted for r in answer.rounds)
    assert stats.rounds == len(answer.rounds) == sum(stats.accepted_histogram)
    assert 0 < stats.acceptance_rate < 1
    assert all(r.emitted == r.accepted + 1 for r in answer.rounds)
    assert all(r.verify_s <= r.total_s for r in answer.rounds)


async def test_every_token_tells_where_it_came_from() -> None:
    answer = await write(FakeSession(table()), drafter=model_drafter())
    sources = [token.source for token in answer.tokens]
    position = 0
    for stats in answer.rounds:
        round_sources = sources[position : position + stats.emitted]
        assert round_sources[:-1] == ["accepted"] * stats.accepted
        if stats.drafted:
            assert round_sources[-1] == (
                "bonus" if stats.accepted == stats.drafted else "resampled"
            )
        else:
            assert round_sources == ["plain"]
        position += stats.emitted


async def test_the_end_token_ends_the_answer_and_is_not_shown() -> None:
    for drafter in (None, model_drafter(0), LookupDrafter()):
        target = FakeSession(table(end=1.0))
        answer = await write(target, drafter=drafter, sampling=SAMPLING)
        assert answer.finished.reason == "stop"
        assert answer.ids[-1] == END
        assert END not in answer.ids[:-1]
        assert len(answer.text) == len(answer.ids) - 1
        assert END not in target.cached


async def test_a_stop_text_ends_the_answer_without_it() -> None:
    whole = (await write(FakeSession(table()))).text
    stop = whole[10:12]
    for drafter in (None, model_drafter(0)):
        sampling = SAMPLING.model_copy(update={"stop": (stop,)})
        answer = await write(FakeSession(table()), sampling=sampling, drafter=drafter)
        assert answer.finished.reason == "stop"
        assert answer.text == whole[: whole.index(stop)]


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 7, 20])
async def test_an_answer_has_exactly_the_tokens_asked_for(max_tokens: int) -> None:
    sampling = SAMPLING.model_copy(update={"max_tokens": max_tokens})
    for drafter in (None, model_drafter(0), LookupDrafter()):
        answer = await write(FakeSession(table()), sampling=sampling, drafter=drafter)
        assert len(answer.ids) == max_tokens
        assert answer.finished.reason == "length"


@pytest.mark.parametrize("n_ctx", [5, 8, 16, 33])
@pytest.mark.parametrize("length", [1, 5, 16])
async def test_the_context_is_filled_to_the_last_place_and_not_beyond(
    n_ctx: int, length: int
) -> None:
    speculative = SPECULATIVE.model_copy(update={"max_draft_tokens": length})
    drafter = model_drafter(0, n_ctx=n_ctx)
    for prompt in range(1, n_ctx):
        answer = await write(
            FakeSession(table(), n_ctx=n_ctx),
            [1] * prompt,
            speculative=speculative,
            drafter=drafter,
        )
        assert len(answer.ids) == n_ctx - prompt
        assert answer.finished.reason == "length"


async def test_a_draft_with_a_smaller_context_stops_drafting_there() -> None:
    target = FakeSession(table())
    answer = await write(target, drafter=model_drafter(0, n_ctx=20))
    assert len(answer.ids) == 60
    assert answer.rounds[-1].drafted == 0
    full = Mode("standard", None, "the draft's context is full: 20 tokens")
    assert answer.modes == [Mode("speculative", "small", ""), full]


async def test_a_prompt_that_fills_the_context_of_the_draft_is_answered_without_it() -> None:
    strict = SPECULATIVE.model_copy(update={"fallback_enabled": False})
    prompt, drafter = [1, 2, 3] * 7, model_drafter(0, n_ctx=20)
    answer = await write(FakeSession(table()), prompt, speculative=strict, drafter=drafter)
    assert len(answer.ids) == 60
    assert [mode.reason for mode in answer.modes] == ["the draft's context is full: 20 tokens"]


async def test_a_prompt_that_fills_the_context_is_refused_with_numbers() -> None:
    with pytest.raises(ContextFullError, match="has 16 tokens, the context 16"):
        await write(FakeSession(table(), n_ctx=16), [1] * 16)


async def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(RequestError, match="empty"):
        await write(FakeSession(table()), [])


async def test_the_second_turn_reads_only_what_is_new() -> None:
    target, drafter = FakeSession(table()), model_drafter()
    first = await write(target, drafter=drafter)
    before = target.decoded
    prompt = [1, 2, 3, *first.ids, 4, 5]
    second = await write(target, prompt, drafter=drafter, sampling=GREEDY)
    assert second.stats.reused_tokens == 3 + 60 - 1
    verified = sum(1 + r.drafted for r in second.rounds)
    assert target.decoded - before == (len(prompt) - 1 - (3 + 60 - 1)) + verified


async def test_a_changed_history_is_read_again_from_the_change() -> None:
    target = FakeSession(table())
    await write(target, [1, 2, 3, 4, 5, 6])
    answer = await write(target, [1, 2, 3, 9, 5, 6])
    assert answer.stats.reused_tokens == 3
    fresh = await write(FakeSession(table()), [1, 2, 3, 9, 5, 6])
    assert answer.ids == fresh.ids


async def test_the_first_token_does_not_wait_for_the_draft_to_read_a_long_prompt() -> None:
    answer = await write(FakeSession(table()), [1] * 40, drafter=model_drafter())
    assert answer.rounds[0].drafted == 0
    assert answer.rounds[1].drafted > 0


class BrokenDrafter:
    """Works for some rounds, then raises."""

    name = "broken"

    def __init__(self, rounds: int, error: Exception) -> None:
        self._rounds, self._error = rounds, error

    def begin(self, token_ids: Sequence[int]) -> None:
        pass

    def lag(self, token_ids: Sequence[int]) -> int:
        return 0

    def propose(self, token_ids: Sequence[int], limit: int, picker: Picker) -> Draft:
        if self._rounds == 0:
            raise self._error
        self._rounds -= 1
        return Draft((1, 2))

    def observe(self, token_ids: Sequence[int]) -> None:
        pass


@pytest.mark.parametrize("error", [MemoryError("out of memory"), DraftError("x"), IndexError()])
async def test_a_failing_draft_leaves_the_answer_whole(error: Exception) -> None:
    plain = await write(FakeSession(table()))
    answer = await write(FakeSession(table()), drafter=BrokenDrafter(3, error))
    assert answer.ids == plain.ids
    assert [mode.mode for mode in answer.modes] == ["speculative", "standard"]
    assert answer.modes[1].reason.startswith("draft broken failed: ")
    assert (str(error) or type(error).__name__) in answer.modes[1].reason


async def test_a_draft_model_that_fails_while_decoding_is_dropped() -> None:
    session = FakeSession(table(0.5))
    session.fail_at_decode = 8
    drafter = ModelDrafter("small", session, vocabulary_size=SIZE)
    answer = await write(FakeSession(table()), drafter=drafter)
    assert answer.ids == (await write(FakeSession(table()))).ids
    assert "decode failed on purpose" in answer.modes[-1].reason


async def test_a_draft_that_produces_nan_is_dropped() -> None:
    drafter = ModelDrafter(
        "small", FakeSession(np.full((SIZE, SIZE), np.nan, np.float32)), vocabulary_size=SIZE
    )
    answer = await write(FakeSession(table()), drafter=drafter)
    assert answer.ids == (await write(FakeSession(table()))).ids
    assert "invalid values" in answer.modes[-1].reason


async def test_without_fallback_a_failing_draft_fails_the_answer() -> None:
    speculative = SPECULATIVE.model_copy(update={"fallback_enabled": False})
    with pytest.raises(DraftError, match="broken failed"):
        await write(
            FakeSession(table()),
            drafter=BrokenDrafter(1, IndexError("oops")),
            speculative=speculative,
        )


async def test_a_failing_target_is_a_typed_error_and_the_next_answer_is_right() -> None:
    target = FakeSession(table())
    target.fail_at_decode = 6
    with pytest.raises(TargetError, match="decode failed on purpose"):
        await write(target, drafter=model_drafter())
    target.fail_at_decode = None
    assert (await write(target)).ids == (await write(FakeSession(table()))).ids


async def test_a_target_that_produces_nan_is_a_typed_error_and_leaves_the_cache_in_step() -> None:
    logits = table()
    logits[5] = np.nan
    target = FakeSession(logits)
    with pytest.raises(TargetError, match="invalid values"):
        await write(target, [5], drafter=BrokenDrafter(5, IndexError()))
    assert target.cached == []


async def test_stopping_keeps_what_was_written_and_the_cache_in_step() -> None:
    target = FakeSession(table())
    answers = iter([False] * 9 + [True] * 99)
    answer = await write(target, drafter=model_drafter(), should_stop=lambda: next(answers))
    assert answer.finished.reason == "cancelled"
    assert 0 < len(answer.ids) < 60
    assert target.cached == [1, 2, 3, *answer.ids][:-1]


async def test_stopping_releases_text_held_back_for_a_stop_text() -> None:
    whole = (await write(FakeSession(table()))).text
    sampling = SAMPLING.model_copy(update={"stop": (whole[:30] + "!",)})
    answers = iter([False] * 9 + [True] * 99)
    answer = await write(FakeSession(table()), sampling=sampling, should_stop=lambda: next(answers))
    assert answer.finished.reason == "cancelled"
    assert answer.text
    assert whole.startswith(answer.text)


async def test_an_aborted_prefill_ends_as_cancelled() -> None:
    class Aborting(FakeSession):
        def decode(self, token_ids: Sequence[int], *, rows: int, width: int = 0) -> np.ndarray:
            if len(self.cached) >= 4:
                raise DecodeAborted
            return super().decode(token_ids, rows=rows)

    target = Aborting(table(), max_batch=2)
    answer = await write(target, [1] * 20)
    assert answer.finished.reason == "cancelled"
    assert answer.ids == []
    assert target.cached == [1] * 4


async def test_closing_the_generator_leaves_the_cache_in_step() -> None:
    target = FakeSession(table())
    decoder = SpeculativeDecoder(target, FakeVocabulary(SIZE, END))
    stream = decoder.generate(
        [1, 2], sampling=SAMPLING, speculative=SPECULATIVE, drafter=model_drafter()
    )
    tokens = [1, 2]
    async for event in stream:
        if isinstance(event, Tokens):
            tokens += [token.token_id for token in event.tokens]
            if len(tokens) > 20:
                break
    await stream.aclose()
    assert target.cached == tokens[:-1]


async def test_seeds_reproduce_and_differ() -> None:
    first = await write(FakeSession(table()))
    assert first.ids == (await write(FakeSession(table()))).ids
    other = SAMPLING.model_copy(update={"seed": 8})
    assert first.ids != (await write(FakeSession(table()), sampling=other)).ids
    free = SAMPLING.model_copy(update={"seed": None})
    a, b = [await write(FakeSession(table()), sampling=free) for _ in range(2)]
    assert a.ids != b.ids
    replay = SAMPLING.model_copy(update={"seed": a.events[0].seed})
    assert a.ids == (await write(FakeSession(table()), sampling=replay)).ids


async def test_a_draft_with_more_tokens_than_the_target_never_drafts_them() -> None:
    wide = np.zeros((SIZE + 3, SIZE + 3), np.float32)
    wide[:, SIZE:] = 50
    drafter = ModelDrafter("wide", FakeSession(wide), vocabulary_size=SIZE)
    answer = await write(FakeSession(table()), drafter=drafter)
    assert len(answer.ids) == 60
    assert [mode.mode for mode in answer.modes] == ["speculative"]


async def test_low_acceptance_pauses_drafting_with_the_reason() -> None:
    speculative = SpeculativeConfig(acceptance_threshold=0.7, acceptance_window=16)
    sampling = SAMPLING.model_copy(update={"max_tokens": 400})
    answer = await write(
        FakeSession(table()), sampling=sampling, speculative=speculative, drafter=model_drafter(9)
    )
    assert [mode.mode for mode in answer.modes[:3]] == ["speculative", "standard", "speculative"]
    assert "is under 70%" in answer.modes[1].reason
    assert answer.ids == (await write(FakeSession(table()), sampling=sampling)).ids


async def test_plain_steps_measure_the_baseline() -> None:
    clock = PlainClock()
    await write(FakeSession(table()), clock=clock)
    assert clock.baseline.origin == "running"
    assert clock.baseline.samples == 60
    answer = await write(FakeSession(table()), drafter=model_drafter(0), clock=clock)
    assert answer.stats.speedup == pytest.approx(
        answer.stats.tokens_per_second / clock.baseline.tokens_per_second
    )


async def test_standard_mode_says_why() -> None:
    answer = await write(FakeSession(table()), reason="speculation is switched off")
    assert answer.modes == [Mode("standard", None, "speculation is switched off")]
    assert {token.source for token in answer.tokens} == {"plain"}
