"""Losslessness, exactly: every branch of every rule is enumerated, no sampling noise is left."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from utils.sampling import Distribution
from utils.token_validator import (
    BlockVerifier,
    CoupledVerifier,
    Draft,
    RejectionVerifier,
    ValidationResult,
    Verifier,
    residual,
)

Table = Callable[[tuple[int, ...]], Distribution]


class Oracle:
    """Answers questions of chance by a script, and notes how likely the script was."""

    def __init__(self, script: list[int]) -> None:
        self.script, self.asked, self.widths, self.probability = script, 0, [], 1.0

    def choose(self, probabilities: list[float]) -> int:
        possible = [i for i, p in enumerate(probabilities) if p > 0]
        if self.asked == len(self.script):
            self.script.append(0)
        self.widths.append(len(possible))
        chosen = possible[self.script[self.asked]]
        self.asked += 1
        self.probability *= probabilities[chosen]
        return chosen


def every_branch(
    run: Callable[[Oracle], tuple[int, ...]],
) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Run once for every possible course of chance; yields probability and result."""
    script: list[int] = []
    while True:
        oracle = Oracle(script)
        result = run(oracle)
        yield oracle.probability, result
        while script and script[-1] == oracle.widths[len(script) - 1] - 1:
            script.pop()
        if not script:
            return
        script[-1] += 1


class ScriptedChance:
    """`Chance` whose every outcome is explored."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def draft(self, distribution: Distribution) -> int:
        return int(distribution.token_ids[self._oracle.choose(list(distribution.probabilities))])

    draw = draft

    def accept(self, probability: float) -> bool:
        probability = min(1.0, probability)
        return self._oracle.choose([1 - probability, probability]) == 1


class ScriptedNoise:
    """`SharedNoise` whose every outcome is explored: a second pick depends on the first."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._picked: dict[int, tuple[Distribution, int]] = {}

    def pick(self, distribution: Distribution, position: int) -> int:
        if position in self._picked:
            first, winner = self._picked[position]
            joint = [race(first, winner, distribution, int(i)) for i in distribution.token_ids]
            chances = [value / first.at(winner) for value in joint]
        else:
            chances = list(distribution.probabilities)
        token_id = int(distribution.token_ids[self._oracle.choose(chances)])
        self._picked.setdefault(position, (distribution, token_id))
        return token_id

    def pick_clearly(self, distribution: Distribution, position: int) -> tuple[int, float]:
        return self.pick(distribution, position), 0.0


def race(first: Distribution, i: int, second: Distribution, j: int) -> float:
    """P(i wins the race with rates `first` and j the one with `second`, same waiting times).

    With E_i = r E_j the region is second_i/second_j < r < first_i/first_j, and integrating the
    other times out leaves the integral of 1 / S(r)^2 with S piecewise linear in r.
    """
    size = int(max(first.token_ids.max(), second.token_ids.max())) + 1
    q, p = ([d.at(k) for k in range(size)] for d in (first, second))
    if q[i] == 0 or p[j] == 0:
        return 0.0
    others = [k for k in range(size) if k not in (i, j)]
    if i == j:
        return 1 / (1 + sum(max(q[k] / q[i], p[k] / p[i]) for k in others))
    low, high = p[i] / p[j], q[i] / q[j] if q[j] > 0 else np.inf
    if low >= high:
        return 0.0
    breaks = [p[k] / p[j] * q[i] / q[k] for k in others if q[k] > 0]
    edges = [low, *sorted(r for r in breaks if low < r < high), high]
    total = 0.0
    for left, right in itertools.pairwise(edges):
        middle = (left + right) / 2 if np.isfinite(right) else left + 1
        steep = [k for k in others if q[k] * middle / q[i] > p[k] / p[j]]
        slope = 1 + sum(q[k] / q[i] for k in steep)
        level = 1 + sum(p[k] / p[j] for k in others if k not in steep)
        at_right = 1 / (level + slope * right) if np.isfinite(right) else 0.0
        total += (1 / (level + slope * left) - at_right) / slope
    return total


def random_table(rng: np.random.Generator, size: int, sparse: bool) -> Table:
    known: dict[tuple[int, ...], Distribution] = {}

    def at(context: tuple[int, ...]) -> Distribution:
        if context not in known:
            weights = rng.dirichlet(np.full(size, 0.7))
            if sparse:
                weights[rng.integers(size)] = 0
            known[context] = Distribution.of_weights(np.arange(size), weights)
        return known[context]

    return at


Rule = Callable[[Oracle], Verifier]
RULES: dict[str, Rule] = {
    "coupled": lambda oracle: CoupledVerifier(ScriptedNoise(oracle)),
    "rejection": lambda oracle: RejectionVerifier(ScriptedChance(oracle)),
    "block": lambda oracle: BlockVerifier(ScriptedChance(oracle)),
}


def emitted_distribution(
    rule: Rule, target: Table, offer: Table, length: int, *, certain: bool = False
) -> dict[tuple[int, ...], float]:
    """Exact distribution of the first `length` + 1 tokens; after the round the target goes on."""

    def run(oracle: Oracle) -> tuple[int, ...]:
        verifier = rule(oracle)
        drafted: tuple[int, ...] = ()
        for position in range(length):
            if certain:
                drafted += (int(offer(drafted).token_ids[offer(drafted).probabilities.argmax()]),)
            else:
                drafted += (verifier.propose(offer(drafted), position)[0],)
        offered = tuple(offer(drafted[:i]) for i in range(length))
        draft = Draft(drafted, None if certain else offered)
        result = verifier.verify(draft, lambda i: target(drafted[:i]), 0)
        emitted = (*drafted[: result.accepted], result.next_token)
        chance = ScriptedChance(oracle)
        while len(emitted) < length + 1:
            emitted += (chance.draw(target(emitted)),)
        return emitted

    total: dict[tuple[int, ...], float] = defaultdict(float)
    for probability, emitted in every_branch(run):
        total[emitted] += probability
    return total


def total_variation(
    rule: Rule, seed: int, size: int, length: int, *, certain: bool = False
) -> float:
    rng = np.random.default_rng(seed)
    target = random_table(rng, size, sparse=seed % 2 == 1)
    offer = random_table(rng, size, sparse=seed % 3 == 1)
    got = emitted_distribution(rule, target, offer, length, certain=certain)
    assert sum(got.values()) == pytest.approx(1, abs=1e-12)
    distance = 0.0
    for tokens in itertools.product(range(size), repeat=length + 1):
        wanted = 1.0
        for i, token_id in enumerate(tokens):
            wanted *= target(tokens[:i]).at(token_id)
        distance += abs(wanted - got.get(tokens, 0.0)) / 2
    return distance


CASES = [(3, 1), (4, 1), (5, 1), (3, 2), (4, 2), (5, 2), (3, 3)]


@pytest.mark.no_cover
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("size", "length"), CASES)
def test_emitted_tokens_have_exactly_the_targets_distribution(
    name: str, size: int, length: int
) -> None:
    for seed in range(6 if length < 3 else 3):
        assert total_variation(RULES[name], seed, size, length) < 1e-12


@pytest.mark.parametrize("name", RULES)
def test_drafts_without_probabilities_are_lossless_too(name: str) -> None:
    for size, length, seed in ((3, 1, 0), (4, 2, 1), (3, 3, 2)):
        assert total_variation(RULES[name], seed, size, length, certain=True) < 1e-12


class AlwaysAccept(RejectionVerifier):
    def verify(self, draft, target, position):
        length = len(draft.token_ids)
        return ValidationResult(length, self._chance.draw(target(length)), "bonus")


class ResampleWithoutSubtracting(RejectionVerifier):
    def verify(self, draft, target, position):
        for i, token_id in enumerate(draft.token_ids):
            if not self._chance.accept(target(i).at(token_id) / draft.distribution(i).at(token_id)):
                return ValidationResult(i, self._chance.draw(target(i)), "resampled")
        return ValidationResult(
            len(draft.token_ids), self._chance.draw(target(len(draft.token_ids))), "bonus"
        )


class UnclampedResidual(ResampleWithoutSubtracting):
    def verify(self, draft, target, position):
        for i, token_id in enumerate(draft.token_ids):
            wanted, offered = target(i), draft.distribution(i)
            if not self._chance.accept(wanted.at(token_id) / offered.at(token_id)):
                excess = np.abs(wanted.probabilities - offered.at_ids(wanted.token_ids))
                rest = Distribution.of_weights(wanted.token_ids, excess)
                return ValidationResult(i, self._chance.draw(rest), "resampled")
        return ValidationResult(
            len(draft.token_ids), self._chance.draw(target(len(draft.token_ids))), "bonus"
        )


class BonusFromDraft(RejectionVerifier):
    def verify(self, draft, target, position):
        result = super().verify(draft, target, position)
        if result.source != "bonus":
            return result
        bonus = self._chance.draw(draft.distribution(len(draft.token_ids) - 1))
        return ValidationResult(result.accepted, bonus, "bonus")


class FirstFailureBlock(BlockVerifier):
    """Block verification that stops at the first failed test instead of taking the last."""

    def verify(self, draft, target, position):
        weight = kept_weight = 1.0
        kept = 0
        for i, token_id in enumerate(draft.token_ids):
            weight = min(1.0, weight * target(i).at(token_id) / draft.distribution(i).at(token_id))
            if not self._chance.accept(self._pass_probability(draft, target, i + 1, weight)):
                break
            kept, kept_weight = i + 1, weight
        if kept == len(draft.token_ids):
            return ValidationResult(kept, self._chance.draw(target(kept)), "bonus")
        rest = residual(target(kept), draft.distribution(kept), kept_weight)
        return ValidationResult(kept, self._chance.draw(rest), "resampled")


class RatioTestOnGreedyDrafts(RejectionVerifier):
    """Drafts the likeliest token, but judges it as if it had been drawn."""

    def propose(self, distribution: Distribution, position: int) -> tuple[int, float]:
        return int(distribution.token_ids[distribution.probabilities.argmax()]), 0.0


WRONG_RULES: list[type[RejectionVerifier] | type[BlockVerifier]] = [
    AlwaysAccept,
    ResampleWithoutSubtracting,
    UnclampedResidual,
    BonusFromDraft,
    RatioTestOnGreedyDrafts,
    FirstFailureBlock,
]


@pytest.mark.parametrize("wrong", WRONG_RULES)
def test_wrong_rules_are_found_out(wrong: type[RejectionVerifier]) -> None:
    distances = [
        total_variation(lambda oracle: wrong(ScriptedChance(oracle)), seed, 3, 2)
        for seed in range(4)
    ]
    assert max(distances) > 1e-3


def test_coupling_is_a_race_with_the_right_margins() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        first, second = (
            Distribution.of_weights(np.arange(4), rng.dirichlet(np.ones(4))) for _ in range(2)
        )
        joint = np.array([[race(first, i, second, j) for j in range(4)] for i in range(4)])
        assert joint.sum(axis=1) == pytest.approx(first.probabilities, abs=1e-12)
        assert joint.sum(axis=0) == pytest.approx(second.probabilities, abs=1e-12)


def mean_accepted(rule: Rule, target: Table, offer: Table, length: int) -> float:
    def run(oracle: Oracle) -> tuple[int, ...]:
        verifier = rule(oracle)
        drafted: tuple[int, ...] = ()
        for position in range(length):
            drafted += (verifier.propose(offer(drafted), position)[0],)
        draft = Draft(drafted, tuple(offer(drafted[:i]) for i in range(length)))
        return (verifier.verify(draft, lambda i: target(drafted[:i]), 0).accepted,)

    return sum(probability * accepted for probability, (accepted,) in every_branch(run))


def test_block_verification_keeps_at_least_as_much_as_rejection() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        target, offer = random_table(rng, 3, sparse=False), random_table(rng, 3, sparse=False)
        block = mean_accepted(RULES["block"], target, offer, 3)
        assert block >= mean_accepted(RULES["rejection"], target, offer, 3) - 1e-12


@pytest.mark.parametrize("name", RULES)
def test_an_identical_draft_is_always_kept_whole(name: str) -> None:
    target = random_table(np.random.default_rng(1), 4, sparse=True)
    assert mean_accepted(RULES[name], target, target, 3) == pytest.approx(3, abs=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_a_disjoint_draft_is_never_kept(name: str) -> None:
    target = Distribution.of_weights(np.array([0, 1]), np.array([0.3, 0.7]))
    offer = Distribution.of_weights(np.array([2, 3]), np.array([0.5, 0.5]))
    assert mean_accepted(RULES[name], lambda _: target, lambda _: offer, 1) == 0


def test_without_a_draft_the_token_is_plain() -> None:
    for name, rule in RULES.items():
        oracle = Oracle([])
        result = rule(oracle).verify(Draft(), lambda _: Distribution.certain(5), 0)
        assert result == ValidationResult(0, 5, "plain"), name
