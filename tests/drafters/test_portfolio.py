"""The choice of drafter and draft length, against costs and acceptance that are known."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import pytest

from utils.cost_table import CostTable
from utils.drafters.lookup import LookupDrafter
from utils.drafters.portfolio import Portfolio
from utils.drafters.record import (
    FIRST_PLAIN_TOKENS,
    FIRST_PROBE_TOKENS,
    PLAIN_NOTES,
    PLAIN_ROUNDS,
    PLAIN_TOKENS,
    DraftingRecord,
)
from utils.errors import DraftError, DraftFullError
from utils.events import Mode
from utils.performance_monitor import RoundStats
from utils.sampling import Distribution
from utils.token_validator import Draft

FLAT = {1: 1.0, 17: 1.2}
LINEAR = {1: 1.0, 17: 17.0}
CPU_F16 = {1: 1.0, 2: 1.9, 4: 2.0, 6: 2.3, 8: 3.0, 12: 3.9, 17: 4.8}
CPU_Q4_0 = {1: 1.0, 2: 1.7, 3: 2.3, 4: 3.3, 8: 5.0, 17: 7.5}


class Clocked:
    """Time in a world where every pass costs what a table says."""

    def __init__(self, pass_s: Mapping[int, float], draft_s: float) -> None:
        self.costs = CostTable({0: pass_s}, max_width=17)
        self.draft_s = draft_s


class ScriptedModel:
    """A draft model whose tokens are kept with a known probability, and margins that say so."""

    name = "scripted"

    hindsight = ()
    reads_guesses = False

    def __init__(self, rate: float, rng: random.Random) -> None:
        self.rate = rate
        self.rng = rng
        self.kept: list[bool] = []

    def begin(self, token_ids):
        pass

    def lag(self, token_ids):
        return 1

    def propose(self, token_ids, limit, picker, wants_more):
        self.kept = []
        while len(self.kept) < limit:
            is_kept = self.rng.random() < self.rate
            self.kept.append(is_kept)
            if not wants_more(5.0 if self.rate > 0.9 else 1.2):
                break
        return Draft(tuple(1000 + n for n in range(len(self.kept))), ())

    def observe(self, token_ids):
        pass


class NoEnd:
    may_withdraw = True

    def is_end(self, token_id):
        return False

    def may_follow(self, guessed):
        return True


def run(world: Clocked, model, tokens: int = 3000, lookup=None, text=None, record=None):
    """Play rounds; return how much faster than plain the tokens came, and the portfolio."""
    record = record or DraftingRecord(world.costs, draft_token_s=world.draft_s)
    portfolio = Portfolio(model, lookup, record, max_draft_tokens=16)
    token_ids = [0, 1, 2, 3]
    portfolio.begin(token_ids)
    elapsed_s, written, lengths = 0.0, 0, []
    while written < tokens:
        draft = portfolio.propose(token_ids, 16, NoEnd())
        drafted = len(draft.token_ids)
        copied = lookup is not None and draft.distributions is None
        upcoming = [next(text) for _ in range(17)] if text else []
        accepted = 0
        for index in range(drafted):
            kept = (
                draft.token_ids[index] == upcoming[index]
                if copied and upcoming
                else model is not None and index < len(model.kept) and model.kept[index]
            )
            if not kept:
                break
            accepted += 1
        emitted = upcoming[: accepted + 1] or [written % 7 + 10] * (accepted + 1)
        if text:
            text.back(17 - len(emitted))
        token_ids = [*token_ids, *emitted]
        width = portfolio.width(1 + drafted, 17)
        draft_s = world.draft_s * (len(model.kept) if model and drafted and not copied else 0)
        pass_s = world.costs._tables[0][width - 1]
        total_s = draft_s + pass_s
        stats = RoundStats("x", drafted, accepted, accepted + 1, draft_s, pass_s, total_s, 0)
        portfolio.observe(token_ids, stats, pass_s=pass_s, width=width)
        elapsed_s += total_s
        written += len(emitted)
        lengths.append(drafted)
    return written * world.costs._tables[0][0] / elapsed_s, portfolio, lengths


class Text:
    """A text that can be looked ahead in."""

    def __init__(self, tokens):
        self.tokens = tokens
        self.at = 0

    def __next__(self):
        self.at += 1
        return self.tokens[(self.at - 1) % len(self.tokens)]

    def back(self, count):
        self.at -= count


def best_fixed(world: Clocked, rate: float) -> float:
    """Return the most that a fixed draft length could reach."""

    def speedup(length: int) -> float:
        tokens = sum(rate**n for n in range(length + 1))
        width = world.costs.padded_width(1 + length, 17)
        return tokens / (world.costs.seconds(width) + length * world.draft_s)

    return max(speedup(length) for length in range(17))


@pytest.mark.no_cover
@pytest.mark.parametrize("rate", [0.3, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("pass_s", [FLAT, CPU_F16, CPU_Q4_0, LINEAR])
@pytest.mark.parametrize("draft_s", [0.05, 0.3])
def test_it_comes_close_to_the_best_fixed_length_and_is_never_much_slower_than_plain(
    rate, pass_s, draft_s
):
    world = Clocked(pass_s, draft_s)
    limit = best_fixed(world, rate)
    speedup, _, _ = run(world, ScriptedModel(rate, random.Random(3)))
    assert speedup >= 0.97
    assert speedup >= 0.93 * limit


def test_where_nothing_pays_it_says_so_and_looks_again_within_its_budget():
    world = Clocked(LINEAR, 0.3)
    speedup, portfolio, lengths = run(world, ScriptedModel(0.5, random.Random(1)))
    assert portfolio.mode.mode == "standard"
    assert "would not be faster here" in portfolio.mode.reason
    assert 0 < sum(map(bool, lengths[100:])) < len(lengths) / 40
    assert speedup > 0.97


def test_a_draft_that_gets_better_is_found_again():
    world = Clocked(CPU_F16, 0.05)
    model = ScriptedModel(0.2, random.Random(1))
    record = DraftingRecord(world.costs, draft_token_s=0.05)
    _, portfolio, _ = run(world, model, 1500, record=record)
    assert portfolio.mode.mode == "standard"
    model.rate = 0.95
    speedup, portfolio, _ = run(world, model, 3000, record=record)
    assert portfolio.mode.mode == "speculative"
    assert speedup > 1.8


def test_a_look_that_paid_is_followed_by_another_one_at_once():
    world = Clocked(CPU_F16, 0.05)
    model = ScriptedModel(0.2, random.Random(1))
    record = DraftingRecord(world.costs, draft_token_s=0.05)
    run(world, model, 1500, record=record)
    model.rate = 1.0
    _, portfolio, lengths = run(world, model, 600, record=record)
    first = next(index for index, length in enumerate(lengths) if length)
    assert all(lengths[first : first + 8])
    assert portfolio.mode.mode == "speculative"


def test_a_plain_round_tells_of_plain_decoding_only_where_another_one_was_before_it():
    record = DraftingRecord(CostTable({0: {1: 1.0, 5: 2.0}}, max_width=5), draft_token_s=0.1)

    def play(drafted: int, pass_s: float, draft_s: float = 0.0) -> None:
        total_s = draft_s + pass_s
        stats = RoundStats("x", drafted, drafted, drafted + 1, draft_s, pass_s, total_s, 0)
        record.note_round(stats, pass_s, 1 + drafted, was_probe=False)

    for _ in range(60):
        play(4, 2.0, draft_s=0.5)
        play(0, 1.6)
        play(0, 1.0)
        play(0, 1.6, draft_s=0.5)  # the model was asked, in vain
    assert record.costs.seconds(1) / record.costs.plain_s == pytest.approx(1.6, rel=0.1)


def test_while_drafting_is_off_and_passes_are_short_most_rounds_look_at_nothing():
    class Watched(LookupDrafter):
        looks = 0

        def copy(self, limit, picker):
            self.looks += 1
            return super().copy(limit, picker)

    for pass_s, most_looks in ((0.001, 60), (0.02, 200)):
        lookup = Watched()
        record = DraftingRecord(CostTable({0: {1: pass_s, 17: 17 * pass_s}}, max_width=17))
        portfolio = Portfolio(None, lookup, record, max_draft_tokens=8)
        token_ids = [0]
        portfolio.begin(token_ids)
        for token_id in range(1, 201):
            portfolio.propose(token_ids, 8, NoEnd())
            token_ids.append(token_id)
            stats = RoundStats("x", 0, 0, 1, 0, pass_s, pass_s, 0)
            portfolio.observe(token_ids, stats, pass_s=pass_s, width=1)
        assert most_looks / 2 < lookup.looks <= most_looks + 25


@pytest.mark.parametrize(("lag", "is_asked"), [(200, False), (2, True)])
def test_the_first_token_does_not_wait_for_a_draft_to_read_a_long_prompt(lag, is_asked):
    class Behind(ScriptedModel):
        def lag(self, token_ids):
            return lag

    record = DraftingRecord(Clocked(LINEAR, 0.05).costs, draft_token_s=0.05)
    record._since_probe = 10**6  # long due
    model = Behind(0.9, random.Random(1))
    portfolio = Portfolio(model, None, record, max_draft_tokens=8)
    portfolio.begin([1, 2, 3])
    portfolio.propose([1, 2, 3], 8, NoEnd())
    assert bool(model.kept) is is_asked


def test_text_that_repeats_is_copied():
    rng = random.Random(2)
    text = Text([rng.randrange(50) for _ in range(60)])
    speedup, _, _ = run(Clocked(CPU_F16, 0.05), None, 2000, lookup=LookupDrafter(), text=text)
    assert speedup > 2.5


def test_text_that_never_repeats_costs_nothing():
    rng = random.Random(2)
    text = Text([rng.randrange(10**6) for _ in range(4000)])
    speedup, _, lengths = run(
        Clocked(CPU_Q4_0, 0.05), None, 2000, lookup=LookupDrafter(), text=text
    )
    assert speedup > 0.99
    assert sum(lengths) < 20


def test_a_model_that_has_nothing_to_say_is_asked_less_and_less():
    class Silent(ScriptedModel):
        asked = 0

        def propose(self, *_):
            self.asked += 1
            return Draft()

    silent = Silent(0.9, random.Random(1))
    _, portfolio, lengths = run(Clocked(FLAT, 0.05), silent, 2000)
    assert not any(lengths)
    assert silent.asked < 400
    assert portfolio.mode.mode == "standard"


def test_what_a_lookup_adds_to_a_models_draft_counts_as_certain():
    class Sure(ScriptedModel):
        def propose(self, token_ids, limit, picker, wants_more):
            wants_more(9.0)
            return Draft((1,), (Distribution(np.array([1, 2]), np.array([0.9, 0.1])),))

    record = DraftingRecord(Clocked(FLAT, 0.05).costs, draft_token_s=0.05)
    portfolio = Portfolio(Sure(0.9, random.Random(1)), LookupDrafter(), record, max_draft_tokens=8)
    token_ids = [6, 1, 2, 3, 4, 5, 6]
    portfolio.begin(token_ids)
    draft = portfolio.propose(token_ids, 8, NoEnd())
    assert draft.token_ids[:3] == (1, 2, 3)
    assert draft.distribution(0).at(2) == 0.1
    assert draft.distribution(1).at(2) == 1


def test_of_a_mixed_draft_the_model_is_judged_by_its_own_tokens_and_lookup_by_the_rest():
    class Pair(ScriptedModel):
        def propose(self, token_ids, limit, picker, wants_more):
            wants_more(9.0), wants_more(9.0)
            return Draft((1, 2), ())

    record = DraftingRecord(Clocked(FLAT, 0.05).costs, draft_token_s=0.05)
    portfolio = Portfolio(Pair(0.9, random.Random(1)), LookupDrafter(), record, max_draft_tokens=8)
    token_ids = [6, 1, 2, 3, 4, 5, 6]
    portfolio.begin(token_ids)
    draft = portfolio.propose(token_ids, 8, NoEnd())
    assert draft.token_ids[:3] == (1, 2, 3)
    kept = len(draft.token_ids)
    stats = RoundStats("pair", kept, kept, kept + 1, 0.1, 1.0, 1.2, 7)
    token_ids += [*draft.token_ids, 9]
    portfolio.observe(token_ids, stats, pass_s=1.0, width=kept + 1)
    assert record.margins.observed == 2
    assert record.matches.observed == kept - 2


class Follower(ScriptedModel):
    """Drafts two tokens after whatever it is given, which it remembers."""

    reads_guesses = True

    def propose(self, token_ids, limit, picker, wants_more):
        self.read, self.limit = list(token_ids), limit
        wants_more(9.0), wants_more(9.0)
        return Draft((11, 12), (Distribution(np.array([11, 12]), np.array([0.5, 0.5])),) * 2)


def following(model: Follower, picker: NoEnd) -> tuple[Portfolio, DraftingRecord, Draft]:
    """Have what can be copied, and is mostly right, end before the room for a draft does."""
    record = DraftingRecord(Clocked(FLAT, 0.005).costs, draft_token_s=0.005)
    record.matches.learn([(length, True) for length in range(12)] * 50)
    portfolio = Portfolio(model, LookupDrafter(), record, max_draft_tokens=16)
    token_ids = [7, 6, 1, 2, 3, 4, 5, 7, 6]
    portfolio.begin(token_ids)
    return portfolio, record, portfolio.propose(token_ids, 16, picker)


def test_a_model_goes_on_where_a_copy_ends():
    model = Follower(0.9, random.Random(1))
    portfolio, record, draft = following(model, NoEnd())
    copied = [1, 2, 3, 4, 5, 7]
    assert model.read == [7, 6, 1, 2, 3, 4, 5, 7, 6, *copied]
    assert model.limit == 16 - len(copied)
    assert draft.token_ids == (*copied, 11, 12)
    assert [draft.distribution(index).at(12) for index in range(8)] == [0] * 6 + [0.5] * 2
    matches = record.matches.observed
    stats = RoundStats("pair", 8, 7, 8, 0.1, 1.0, 1.2, 9)
    portfolio.observe([*model.read, 11, 13], stats, pass_s=1.0, width=9)
    assert (record.matches.observed - matches, record.margins.observed) == (6, 2)


def test_a_model_does_not_go_on_from_a_copy_that_cannot_stand_there():
    class Forbidding(NoEnd):
        def may_follow(self, guessed):
            return False

    model = Follower(0.9, random.Random(1))
    _, _, draft = following(model, Forbidding())
    assert draft.token_ids == (1, 2, 3, 4, 5, 7)


@pytest.mark.parametrize(("chosen", "right"), [(1, True), (9, False)])
def test_a_token_that_was_withdrawn_is_judged_by_what_the_target_chose_there(chosen, right):
    class Unsure(ScriptedModel):
        def propose(self, token_ids, limit, picker, wants_more):
            wants_more(0.0)
            return Draft((1,), ())

    record = DraftingRecord(Clocked({1: 1.0, 17: 8.0}, 0.0).costs, draft_token_s=0.01)
    record.margins.learn([(0.0, False)] * 20 + [(9.0, True)] * 400)
    portfolio = Portfolio(Unsure(0.9, random.Random(1)), None, record, max_draft_tokens=8)
    portfolio.begin([5])
    assert portfolio.propose([5, 6], 8, NoEnd()).token_ids == ()
    before = record.margins.rate(0.0, 0)
    stats = RoundStats(None, 0, 0, 1, 0.01, 1.0, 1.01, 2)
    portfolio.observe([5, 6, chosen], stats, pass_s=1.0, width=1)
    assert record.margins.observed == 421
    assert (record.margins.rate(0.0, 0) > before) is right


def test_what_a_model_drew_is_withdrawn_only_where_that_leaves_the_text_as_it_is():
    class Strict(NoEnd):
        may_withdraw = False

    class Unsure(ScriptedModel):
        def propose(self, token_ids, limit, picker, wants_more):
            wants_more(9.0), wants_more(0.0)
            return Draft((1, 2), ())

    for picker, kept in ((NoEnd(), 1), (Strict(), 2)):
        record = DraftingRecord(Clocked({1: 1.0, 17: 8.0}, 0.0).costs, draft_token_s=0.01)
        record.margins.learn([(0.0, False)] * 400 + [(9.0, True)] * 400)
        portfolio = Portfolio(Unsure(0.9, random.Random(1)), None, record, max_draft_tokens=8)
        portfolio.begin([5])
        assert len(portfolio.propose([5, 6], 8, picker).token_ids) == kept


def test_a_note_on_the_model_is_said_while_it_drafts():
    record = DraftingRecord(Clocked(FLAT, 0.05).costs)
    model = ScriptedModel(0.9, random.Random(1))
    portfolio = Portfolio(model, None, record, max_draft_tokens=8, note="another vocabulary")
    reason = "drafted by scripted: another vocabulary"
    assert portfolio.mode == Mode("speculative", "scripted", reason)


def test_a_model_that_fails_is_left_out_with_the_reason():
    class Broken(ScriptedModel):
        def propose(self, *_):
            raise MemoryError("out of memory")

    world = Clocked(FLAT, 0.05)
    _, portfolio, _ = run(world, Broken(0.9, random.Random(1)), 100)
    assert portfolio.mode.mode == "standard"
    assert portfolio.mode.reason == "draft scripted failed: out of memory"


@pytest.mark.parametrize("place", ["begin", "propose"])
def test_a_model_whose_context_is_full_is_left_out_with_the_reason_and_guessed_nothing(place):
    def refuse(*_):
        raise DraftFullError.of(512)

    model = ScriptedModel(0.9, random.Random(1))
    setattr(model, place, refuse)
    record = DraftingRecord(Clocked(FLAT, 0.05).costs, draft_token_s=0.05)
    portfolio = Portfolio(
        model, LookupDrafter(), record, max_draft_tokens=8, fallback_enabled=False
    )
    portfolio.begin([1, 2, 3])
    assert not portfolio.propose([1, 2, 3], 8, NoEnd()).token_ids
    assert portfolio.mode == Mode(
        "speculative", "lookup", "the draft's context is full: 512 tokens"
    )
    assert record.margins.observed == 0


def test_lookup_alone_says_which_draft_was_not_to_be_had_and_when_nothing_repeats():
    record = DraftingRecord(Clocked(FLAT, 0.05).costs)
    lookup = LookupDrafter()
    portfolio = Portfolio(None, lookup, record, max_draft_tokens=8, problem="draft x is too large")
    assert portfolio.mode == Mode("speculative", "lookup", "draft x is too large")
    portfolio.begin([0])
    token_ids = [0]
    for token_id in range(1, 26):
        assert not portfolio.propose(token_ids, 8, NoEnd()).token_ids
        token_ids = [*token_ids, token_id]
        portfolio.observe(token_ids, RoundStats("x", 0, 0, 1, 0, 1, 1, 0), pass_s=1, width=1)
    assert portfolio.mode.mode == "standard"
    assert portfolio.mode.reason.startswith("draft x is too large; the text repeats nothing")

    portfolio.observe(token_ids, RoundStats("x", 2, 2, 3, 0, 1, 1, 0), pass_s=1, width=3)
    assert portfolio.mode == Mode("speculative", "lookup", "draft x is too large")


def test_the_first_answers_soon_time_plain_rounds_where_passes_are_short():
    world = Clocked({1: 0.001, 17: 0.0012}, 0.00001)
    record = DraftingRecord(world.costs, draft_token_s=world.draft_s)
    _, _, lengths = run(world, ScriptedModel(0.95, random.Random(1)), tokens=500, record=record)
    rows = [row for row in "".join("d" if n else "p" for n in lengths).split("d") if row]
    assert len(rows) == PLAIN_NOTES // (PLAIN_ROUNDS - 1)
    assert {len(row) for row in rows} == {PLAIN_ROUNDS}
    assert all(lengths[: FIRST_PLAIN_TOKENS // 17])
    _, _, lengths = run(Clocked(FLAT, 0.05), ScriptedModel(0.95, random.Random(1)), tokens=380)
    assert all(lengths)


def test_plain_decoding_is_timed_again_now_and_then_for_little():
    world = Clocked(CPU_F16, 0.05)
    speedup, _, lengths = run(world, ScriptedModel(1.0, random.Random(1)), tokens=4000)
    rows = "".join("d" if length else "p" for length in lengths).split("d")
    assert [len(row) for row in rows if row] == [PLAIN_ROUNDS] * (4000 // (PLAIN_TOKENS + 16))
    unhindered = 17 / (CPU_F16[17] + 16 * 0.05)
    assert speedup > 0.96 * unhindered


def test_rounds_without_a_draft_end_the_timing_of_plain_ones_however_wide_or_slow_they_are():
    for pass_s, width in (({1: 1.0, 2: 0.97, 17: 1.5}, 2), (FLAT, 8)):
        record = DraftingRecord(CostTable({0: pass_s}, max_width=17), draft_token_s=0.05)

        def play(drafted: int, width: int, record: DraftingRecord = record) -> None:
            stats = RoundStats("x", drafted, drafted, drafted + 1, 0.9, 1.0, 1.9, 0)
            record.note_round(stats, 1.0, width, was_probe=False)

        while not record.wants_plain_rounds:
            play(11, 12)
        for _ in range(PLAIN_ROUNDS):
            assert record.wants_plain_rounds
            play(0, width)
        assert not record.wants_plain_rounds


def test_a_cost_that_is_believed_far_too_high_is_found_out_where_passes_are_short():
    world = Clocked({width: s / 1000 for width, s in CPU_F16.items()}, 0.00005)
    record = DraftingRecord(world.costs, draft_token_s=world.draft_s)
    record.draft_cost.begin_s = record.draft_cost.token_s = 20 * world.draft_s
    model = ScriptedModel(1.0, random.Random(1))
    speedup, portfolio, _ = run(world, model, 6000, record=record)
    assert portfolio.mode.mode == "speculative"
    assert speedup > 2


def test_what_the_first_draft_after_a_pause_costs_says_nothing_of_those_that_follow():
    record = DraftingRecord(Clocked(CPU_F16, 0.05).costs, draft_token_s=0.05)
    model = ScriptedModel(0.95, random.Random(1))
    portfolio = Portfolio(model, None, record, max_draft_tokens=8)
    token_ids = [1, 2, 3]
    portfolio.begin(token_ids)

    def play(draft_s: float) -> float:
        assert portfolio.propose(token_ids, 8, NoEnd()).token_ids
        stats = RoundStats("x", 8, 8, 9, draft_s, 3.0, 3.0 + draft_s, 0)
        portfolio.observe(token_ids, stats, pass_s=3.0, width=9)
        return record.draft_cost.seconds(8)

    known = record.draft_cost.seconds(8)
    assert play(50.0) == known
    assert play(2 * known) > known


def test_a_look_is_judged_by_its_second_draft_where_the_first_did_not_pay():
    record = DraftingRecord(CostTable({0: {1: 1.0, 5: 2.0}}, max_width=5), draft_token_s=0.1)

    def play(drafted: int, accepted: int, draft_s: float, *, was_probe: bool) -> None:
        stats = RoundStats("x", drafted, accepted, accepted + 1, draft_s, 2.0, 2.0 + draft_s, 0)
        record.note_round(stats, 2.0, 1 + drafted, was_probe=was_probe)

    for _ in range(FIRST_PROBE_TOKENS):
        assert not record.may_probe(0)
        play(0, 0, 0.0, was_probe=False)
    assert record.may_probe(0)
    play(4, 4, draft_s=5.0, was_probe=True)
    assert record.may_probe(0)
    play(4, 4, draft_s=5.0, was_probe=True)
    assert not record.may_probe(0)


class Behind(ScriptedModel):
    """Has yet to read what was written, and is right about all of it but each fourth."""

    read = 0

    def catch_up(self, token_ids, picker):
        for _ in range(5):
            self.read += 20
            yield [(6.0, place % 4 > 0) for place in range(20)]


def test_what_a_model_reads_when_nobody_waits_teaches_what_it_is_worth():
    record = DraftingRecord(Clocked(LINEAR, 0.05).costs, draft_token_s=0.05)
    model = Behind(0.9, random.Random(1))
    portfolio = Portfolio(model, None, record, max_draft_tokens=8)
    pieces = portfolio.catch_up([1, 2, 3], NoEnd())
    next(pieces)
    assert (model.read, record.margins.observed) == (20, 20)
    assert sum(1 for _ in pieces) == 4
    assert record.margins.rate(6.0) == pytest.approx(0.75, abs=0.03)
    assert record.margins.expected == pytest.approx(0.75, abs=0.03)


def test_a_model_that_fails_when_nobody_waits_is_left_out():
    class Broken(Behind):
        def catch_up(self, token_ids, picker):
            yield from [[(6.0, True)]]
            raise MemoryError("out of memory")

    record = DraftingRecord(Clocked(LINEAR, 0.05).costs, draft_token_s=0.05)
    portfolio = Portfolio(Broken(0.9, random.Random(1)), None, record, max_draft_tokens=8)
    assert sum(1 for _ in portfolio.catch_up([1, 2, 3], NoEnd())) == 1
    assert "out of memory" in portfolio.mode.reason
    assert sum(1 for _ in portfolio.catch_up([1, 2, 3], NoEnd())) == 0


def test_without_fallback_a_model_that_fails_fails_the_answer():
    record = DraftingRecord(Clocked(FLAT, 0.05).costs, draft_token_s=0.05)

    class Broken(ScriptedModel):
        def begin(self, token_ids):
            raise MemoryError("out of memory")

    broken = Broken(0.9, random.Random(1))
    portfolio = Portfolio(broken, None, record, max_draft_tokens=8, fallback_enabled=False)
    with pytest.raises(DraftError, match="out of memory"):
        portfolio.begin([1, 2])
