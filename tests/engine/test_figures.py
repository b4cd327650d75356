"""What the engine tells of itself after each answer, for pages that only look."""

from __future__ import annotations

from itertools import pairwise

import pytest

from config import SpeculativeConfig
from tests.engine.conftest import PLAIN, ask, greedy
from utils.cost_table import CostTable
from utils.drafters.record import DraftingRecord
from utils.engine.client import EngineClient
from utils.engine.figures import describe_costs, describe_drafts

WIDTH = 17
COSTS = {
    100: {1: 1.0, 2: 1.1, 17: 2.6},
    1000: {1: 1.5, 2: 1.6, 17: 3.1},
}


def costs() -> CostTable:
    return CostTable(COSTS, max_width=WIDTH)


def learnt(record: DraftingRecord, *, was_kept: bool, tokens: int = 500) -> DraftingRecord:
    record.margins.learn([(1.0, was_kept)] * tokens)
    record.matches.learn([(4, was_kept)] * tokens)
    return record


def test_costs_are_told_at_the_depths_that_were_measured():
    table = costs()
    table.move_to(500)
    shallow, deep = describe_costs(table)
    assert (shallow.depth, deep.depth) == (100, 1000)
    assert (shallow.seconds[0], shallow.seconds[16]) == pytest.approx((1.0, 2.6))
    assert (deep.seconds[0], deep.seconds[16]) == pytest.approx((1.5, 3.1))
    assert table.seconds(1) == pytest.approx(1.5 - 0.5 * 500 / 900)


def test_the_best_length_grows_with_what_is_kept_and_is_none_where_nothing_pays():
    good = learnt(DraftingRecord(costs(), draft_token_s=0.05), was_kept=True)
    bad = learnt(DraftingRecord(costs(), draft_token_s=0.3), was_kept=False)
    first, second = describe_drafts({"good": good, "bad": bad}, max_draft_tokens=16)
    assert (first.name, first.best_length, first.token_s) == ("good", 16, 0.05)
    assert (second.best_length, second.judged) == (0, 500)
    assert first.acceptance > 0.99
    assert second.acceptance < 0.05


def test_lookup_alone_costs_nothing_and_is_judged_by_its_copies():
    record = learnt(DraftingRecord(costs()), was_kept=True)
    (figures,) = describe_drafts({"lookup": record}, max_draft_tokens=4)
    assert (figures.token_s, figures.best_length) == (0.0, 4)
    assert figures.acceptance == figures.lookup_acceptance


async def test_after_a_load_the_costs_and_the_memory_are_known(client: EngineClient):
    await client.wait_until(lambda health: health.stats is not None, timeout_s=10)
    stats = client.health.stats
    assert (stats.answers, stats.drafts, stats.draft_bytes) == (0, (), 0)
    assert stats.target_bytes == client.health.model.size_bytes
    assert 0 < stats.cache_bytes < stats.rss_bytes
    for passes in stats.passes:
        assert len(passes.seconds) >= 16
        assert min(passes.seconds) > 0
    assert [a.depth < b.depth for a, b in pairwise(stats.passes)] in ([], [True])


@pytest.mark.asyncio(loop_scope="module")
async def test_after_each_answer_the_figures_are_new_and_those_of_its_owner(engine: EngineClient):
    adaptive = SpeculativeConfig(draft_model="draft")
    await ask(engine, "hello", greedy(40), adaptive, owner="a")
    count = (await engine.stats()).answers
    await engine.wait_until(lambda health: health.stats.answers == count, timeout_s=10)
    (draft,) = engine.health.stats.drafts
    assert draft.name == "draft"
    assert draft.token_s > 0
    assert 0 <= draft.best_length <= 16
    assert engine.health.stats.draft_bytes > 0
    await ask(engine, "hello", greedy(4), PLAIN, owner="b")
    await ask(engine, "hello", greedy(4), SpeculativeConfig(draft_model="lookup"), owner="b")
    await engine.wait_until(lambda health: health.stats.answers == count + 2, timeout_s=10)
    assert [figures.name for figures in engine.health.stats.drafts] == ["lookup"]
