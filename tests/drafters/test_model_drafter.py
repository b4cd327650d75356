"""What a drafting model learns from tokens that it reads only after they were written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from config import SamplingParams, SpeculativeConfig, VerifierName
from tests.fake_model import FakeSession, FakeVocabulary
from tests.test_speculative_decoding import END, GREEDY, SAMPLING, SIZE, table
from utils.drafters.model_drafter import (
    CATCH_UP_TOKENS,
    LOOK_BACK_TOKENS,
    MOST_LOOKED_BACK,
    ModelDrafter,
    always,
)
from utils.drafters.protocol import Hindsight, Picker
from utils.events import Tokens
from utils.speculative_decoding import SpeculativeDecoder
from utils.token_validator import Draft

PROMPT = (1, 2, 3, 4, 5, 6, 7)


class LateDrafter(ModelDrafter):
    """Is silent until so many tokens are written."""

    def __init__(self, noise: float, silent_tokens: int, *, is_steered: bool = True) -> None:
        super().__init__("late", FakeSession(table(noise)), vocabulary_size=SIZE)
        self._silent_tokens = silent_tokens
        self._wants_more = (lambda _: True) if is_steered else always
        self.first: Hindsight | None = None

    def propose(self, token_ids: Sequence[int], limit: int, picker: Picker, *_: object) -> Draft:
        if len(token_ids) < len(PROMPT) + self._silent_tokens:
            return Draft()
        draft = super().propose(token_ids, limit, picker, self._wants_more)
        if self.first is None:
            self.first = self.hindsight
        return draft


class SilentDrafter(LateDrafter):
    """Says nothing, and keeps what it is asked to judge later by."""

    picker: Picker
    written: Sequence[int]

    def __init__(self, noise: float) -> None:
        super().__init__(noise, silent_tokens=1000)

    def propose(self, token_ids: Sequence[int], limit: int, picker: Picker, *_: object) -> Draft:
        self.written, self.picker = token_ids, picker
        return Draft()


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLING], ids=["greedy", "at 0.9"])
async def test_what_was_left_out_is_read_later_but_the_last_and_each_token_is_judged_once(
    sampling: SamplingParams,
) -> None:
    drafter = SilentDrafter(6.0)
    written = await write(drafter, sampling)
    token_ids = [*PROMPT, *written]
    pieces = list(drafter.catch_up(token_ids, drafter.picker))
    assert list(drafter._session.cached) == token_ids[:-1]
    assert all(len(piece) <= CATCH_UP_TOKENS for piece in pieces)
    judged = [is_right for piece in pieces for _, is_right in piece]
    assert len(judged) == len(written)
    if sampling is GREEDY:
        picks = table(6.0).argmax(axis=1)
        pairs = zip([PROMPT[-1], *written[:-1]], written, strict=True)
        assert judged == [picks[before] == token_id for before, token_id in pairs]
    assert not all(judged)
    assert list(drafter.catch_up(token_ids, drafter.picker)) == [()]


async def test_what_is_left_to_read_stops_where_its_own_context_ends() -> None:
    drafter = SilentDrafter(6.0)
    written = await write(drafter, GREEDY)
    drafter._session.n_ctx = len(PROMPT) + 5
    list(drafter.catch_up([*PROMPT, *written], drafter.picker))
    assert len(drafter._session.cached) == len(PROMPT) + 5
    drafter._session.rollback(0)
    drafter._session.n_ctx = len(PROMPT) - 1
    assert list(drafter.catch_up([*PROMPT, *written], drafter.picker)) == []
    assert len(drafter._session.cached) == 0


async def write(
    drafter: LateDrafter,
    sampling: SamplingParams,
    verifier: VerifierName = "coupled",
) -> list[int]:
    decoder = SpeculativeDecoder(FakeSession(table()), FakeVocabulary(SIZE, END))
    events = decoder.generate(
        PROMPT,
        sampling=sampling,
        speculative=SpeculativeConfig(acceptance_threshold=0, verifier=verifier),
        drafter=drafter,
    )
    tokens = [
        token async for event in events if isinstance(event, Tokens) for token in event.tokens
    ]
    return [token.token_id for token in tokens]


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLING], ids=["greedy", "at 0.9"])
async def test_a_draft_like_the_target_would_have_been_right_everywhere(
    sampling: SamplingParams,
) -> None:
    drafter = LateDrafter(0.0, silent_tokens=6)
    await write(drafter, sampling)
    assert drafter.first is not None
    assert [is_right for _, is_right in drafter.first] == [True] * 6


async def test_each_token_is_judged_by_what_the_draft_would_have_picked_there() -> None:
    drafter = LateDrafter(6.0, silent_tokens=6)
    written = await write(drafter, GREEDY)
    picks = table(6.0).argmax(axis=1)
    before = [PROMPT[-1], *written]
    expected = [picks[before[place]] == written[place] for place in range(6)]
    assert not all(expected)
    assert drafter.first is not None
    assert [is_right for _, is_right in drafter.first] == expected


@pytest.mark.parametrize("silent", [0, 1, LOOK_BACK_TOKENS - 1, LOOK_BACK_TOKENS, 20])
async def test_only_the_newest_tokens_of_the_answer_are_judged_and_few_not_at_all(
    silent: int,
) -> None:
    drafter = LateDrafter(0.0, silent)
    await write(drafter, GREEDY)
    assert drafter.first is not None
    judged = silent if silent >= LOOK_BACK_TOKENS else 0
    assert len(drafter.first) == min(judged, MOST_LOOKED_BACK)


async def test_nothing_is_judged_where_as_much_is_drafted_anyhow() -> None:
    drafter = LateDrafter(0.0, silent_tokens=6, is_steered=False)
    await write(drafter, GREEDY)
    assert drafter.first == ()


@pytest.mark.parametrize("verifier", ["rejection", "block"])
async def test_nothing_is_judged_where_keeping_depends_on_chance(verifier: VerifierName) -> None:
    drafter = LateDrafter(0.0, silent_tokens=6)
    await write(drafter, SAMPLING, verifier=verifier)
    assert drafter.first == ()
