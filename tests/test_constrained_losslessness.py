"""Losslessness under a grammar: the target's distribution, cut to what is allowed, then truncated.

As in `test_losslessness.py`: the fake target is a Markov chain, here over letters that a grammar
lets stand at even or at odd places only, so that each token is one sample of a known conditional
distribution. The limit is the quantile of chi-square for one false alarm in 100,000; with 13
settings the odds of a false alarm in a run with fresh seeds are one in 7,700; the seeds are fixed.
Negative controls show that the test finds wrong decoders.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from config import SamplingParams, SpeculativeConfig, VerifierName
from tests.fake_model import FakeSession, FakeVocabulary
from tests.test_losslessness import SIZE, SteadyRecord, draft_table, target_table, watched
from tests.test_sampling import reference
from utils.constraint import HeldAnswer
from utils.drafters.lookup import LookupDrafter
from utils.drafters.model_drafter import ModelDrafter
from utils.errors import ModelError
from utils.events import Mode, Tokens
from utils.grammar.tokens import GrammarConstraint, TokenTable
from utils.sampling import Distribution, Sampler
from utils.speculative_decoding import SpeculativeDecoder
from utils.token_validator import Draft

pytestmark = pytest.mark.no_cover

GRAMMAR = "root ::= ([a-c] [b-f])*"
ALLOWED = ([0, 1, 2], [1, 2, 3, 4, 5])
ANSWER_TOKENS = 500
SAMPLINGS = {
    "temperature": SamplingParams(temperature=1.2, top_k=0, top_p=1),
    "top-k": SamplingParams(temperature=0.8, top_k=2, top_p=1),
    "top-p": SamplingParams(temperature=1.0, top_k=0, top_p=0.8, min_p=0.05),
}
SETTINGS: list[tuple[VerifierName, str, str]] = [
    *itertools.product(("coupled",), ("temperature", "top-p"), ("perturbed", "disjoint", "lookup")),
    ("coupled", "top-k", "perturbed"),
    ("rejection", "top-p", "perturbed"),
    ("block", "temperature", "perturbed"),
    ("block", "top-k", "lookup"),
]


async def sample(
    samples: int,
    verifier: VerifierName,
    params: SamplingParams,
    draft: str,
    record: SteadyRecord | None = None,
):
    """Counts of (even or odd place, token before, token); with a record, drafted as seems best."""
    model = ModelDrafter(draft, FakeSession(draft_table(draft)), vocabulary_size=SIZE)
    drafter = LookupDrafter() if draft == "lookup" else model
    vocabulary = FakeVocabulary(SIZE)
    constraint = GrammarConstraint(TokenTable(vocabulary), GRAMMAR)
    decoder = SpeculativeDecoder(FakeSession(target_table()), vocabulary)
    counts = np.zeros((2, SIZE, SIZE))
    for seed in range(samples // ANSWER_TOKENS):
        tokens = [seed % SIZE]
        async for event in decoder.generate(
            tokens[:],
            sampling=params.model_copy(update={"max_tokens": ANSWER_TOKENS, "seed": seed}),
            speculative=SpeculativeConfig(
                verifier=verifier, max_draft_tokens=3, acceptance_threshold=0
            ),
            drafter=drafter,
            portfolio=record and watched(model, record),
            constraint=constraint,
        ):
            assert not isinstance(event, Mode) or event.mode == "speculative" or record, event
            if isinstance(event, Tokens):
                tokens += [token.token_id for token in event.tokens]
        places = np.arange(len(tokens) - 1) % 2
        np.add.at(counts, (places, tokens[:-1], tokens[1:]), 1)
    return counts


def excess_over_chance(counts: np.ndarray, params: SamplingParams) -> float:
    """Chi-square over all conditionals, in units of its quantile for one alarm in 100,000."""
    chi_square = degrees = 0.0
    for place, last in itertools.product(range(2), range(SIZE)):
        seen, allowed = counts[place, last], ALLOWED[place]
        within = reference(target_table()[last][allowed], params, [], [])
        wanted = np.zeros(SIZE)
        wanted[[allowed[index] for index in within]] = list(within.values())
        expected = wanted * seen.sum()
        possible = expected > 0
        if seen[wanted == 0].sum():
            return np.inf
        chi_square += ((seen[possible] - expected[possible]) ** 2 / expected[possible]).sum()
        degrees += max(0, possible.sum() - 1)
    z = 4.265  # normal quantile of 1e-5, turned into one of chi-square (Wilson and Hilferty)
    limit = degrees * (1 - 2 / (9 * degrees) + z * np.sqrt(2 / (9 * degrees))) ** 3
    return chi_square / limit


@pytest.mark.parametrize(("verifier", "sampling", "draft"), SETTINGS)
async def test_the_text_has_the_targets_distribution_within_the_grammar(
    samples: int, verifier: VerifierName, sampling: str, draft: str
) -> None:
    params = SAMPLINGS[sampling]
    assert excess_over_chance(await sample(samples, verifier, params, draft), params) < 1


@pytest.mark.parametrize("verifier", ["coupled", "rejection", "block"])
async def test_a_model_that_goes_on_from_copies_keeps_to_the_grammar_and_the_distribution(
    samples: int, verifier: VerifierName
) -> None:
    params, record = SAMPLINGS["temperature"], SteadyRecord(trusts_copies=True)
    counts = await sample(samples, verifier, params, "perturbed", record)
    assert excess_over_chance(counts, params) < 1
    assert record.copies_followed > samples / 40


def forget_rows_after_a_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sampler.distribution

    def unmasked(self, logits, before, drafted=()):
        return real(self, logits, before) if not drafted else self._unheld(logits)

    monkeypatch.setattr(Sampler, "distribution", unmasked)


def advance_by_drafted_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    real = HeldAnswer.allowed

    def hasty(self, size, before, drafted=()):
        allowed = real(self, size, before, drafted)
        for token_id in drafted:
            self._state = self._after(self._state, token_id)
        return allowed

    monkeypatch.setattr(HeldAnswer, "allowed", hasty)


def forget_the_drafted_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    real = HeldAnswer.allowed
    monkeypatch.setattr(
        HeldAnswer, "allowed", lambda self, size, before, _=(): real(self, size, before)
    )


def mask_after_truncation(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(self, logits, before, drafted=()):
        whole = self._unheld(logits)
        allowed = self._held.allowed(len(logits), before, drafted)
        weights = np.where(np.isin(whole.token_ids, allowed), whole.probabilities, 0)
        if not weights.any():
            return Distribution.certain(int(allowed[logits[allowed].argmax()]))
        return Distribution.of_weights(whole.token_ids, weights)

    monkeypatch.setattr(Sampler, "distribution", late)


WRONG = [
    (forget_rows_after_a_draft, "temperature"),
    (advance_by_drafted_tokens, "temperature"),
    (forget_the_drafted_prefix, "temperature"),
    (mask_after_truncation, "top-p"),
    (mask_after_truncation, "top-k"),
]


@pytest.mark.parametrize(("break_it", "sampling"), WRONG)
async def test_wrong_decoders_are_found_out(
    monkeypatch: pytest.MonkeyPatch, break_it, sampling: str
) -> None:
    break_it(monkeypatch)
    params = SAMPLINGS[sampling]
    try:
        counts = await sample(10_000, "coupled", params, "perturbed")
    except (ModelError, AssertionError):
        return  # an emitted token broke the grammar, or the draft was given up for it
    assert excess_over_chance(counts, params) > 1


class Stubborn:
    """Always drafts the first letter three times, which the grammar never allows."""

    name = "stubborn"

    def begin(self, token_ids):
        pass

    def lag(self, token_ids):
        return 0

    def propose(self, token_ids, limit, picker):
        return Draft((0, 0, 0)[:limit])

    def observe(self, token_ids):
        pass


async def test_the_part_of_a_draft_that_breaks_the_grammar_is_not_verified() -> None:
    vocabulary = FakeVocabulary(SIZE)
    decoder = SpeculativeDecoder(FakeSession(target_table()), vocabulary)
    drafted = []
    async for event in decoder.generate(
        [1],
        sampling=SamplingParams(max_tokens=60, seed=1),
        speculative=SpeculativeConfig(max_draft_tokens=3, acceptance_threshold=0),
        drafter=Stubborn(),
        constraint=GrammarConstraint(TokenTable(vocabulary), GRAMMAR),
    ):
        if isinstance(event, Tokens):
            drafted += [each.drafted for each in event.rounds]
    assert set(drafted) == {0, 1}
