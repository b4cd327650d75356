"""What users of the engine get: answers, in their turn, and sentences where there can be none."""

import asyncio
from contextlib import aclosing
from itertools import pairwise

import pytest

from config import SamplingParams, Settings, SpeculativeConfig
from tests.engine.conftest import (
    CONTEXT,
    LIMIT_S,
    PLAIN,
    Heard,
    ask,
    drafted,
    greedy,
    long_prompt,
    make_settings,
    user,
)
from tests.tiny_gguf import FIRST_BYTE
from utils.draft_speeds import UNKNOWN, recall_speeds
from utils.engine.admission import Admission
from utils.engine.client import EngineClient
from utils.engine.protocol import ChatMessage, Generate
from utils.errors import (
    ContextFullError,
    DraftError,
    EngineError,
    QueueFullError,
    RequestError,
)
from utils.events import Finished, Prefilled, Queued, Started, Tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_answer_is_the_events_in_order_and_the_sums_agree(engine: EngineClient):
    heard = await ask(engine, "hello", greedy(30), drafted("draft"))
    kinds = [event.type for event in heard.events]
    assert (kinds[0], kinds[-1]) == ("started", "finished")
    assert kinds.index("prefilled") < kinds.index("mode") < kinds.index("tokens")
    rounds = [stats for event in heard.all(Tokens) for stats in event.rounds]
    stats = heard.finished.stats
    assert len(heard.tokens) == stats.completion_tokens == sum(r.emitted for r in rounds) == 30
    assert stats.accepted == sum(r.accepted for r in rounds) > 0
    assert (heard.finished.reason, heard.mode.mode) == ("length", "speculative")
    assert stats.baseline.tokens_per_second > 0


@pytest.mark.parametrize("temperature", [0.0, 0.8])
async def test_the_same_seed_gives_the_same_text_with_and_without_a_draft(
    engine: EngineClient, temperature: float
):
    sampling = SamplingParams(temperature=temperature, seed=7, max_tokens=60)
    texts = [
        (await ask(engine, "once upon", sampling, speculative)).text
        for speculative in (PLAIN, drafted("draft"), drafted("lookup"))
    ]
    assert texts[0]
    assert texts == [texts[0]] * 3


async def test_a_second_turn_prefills_only_what_is_new(tmp_path):
    client = EngineClient(make_settings(tmp_path, target_model="embedded"))
    await client.start()
    try:
        turns = user("What is a draft model?")
        sampling = SamplingParams(temperature=1.5, top_p=1, seed=3, max_tokens=60)
        first = await ask(client, turns, sampling, drafted("embedded"))
        turns += [ChatMessage(role="assistant", content=first.text), *user("And a target?")]
        second = await ask(client, turns, sampling, drafted("embedded"))
    finally:
        await client.close()
    before = first.started.prompt_tokens + len(first.tokens)
    assert second.started.reused_tokens >= before - 1
    assert second.started.prompt_tokens - before < 20


async def test_a_history_keeps_the_tokens_it_was_written_with(engine: EngineClient):
    letter = SamplingParams(temperature=0, max_tokens=50, logit_bias={FIRST_BYTE + ord("e"): 100})
    turns = user("say e")
    first = await ask(engine, turns, letter, drafted("draft"))
    assert first.text == "e" * 50, "one token a letter, where the tokenizer makes one of two"
    turns += [ChatMessage(role="assistant", content=first.text), *user("again")]
    second = await ask(engine, turns, letter)
    assert second.started.reused_tokens >= first.started.prompt_tokens + 49


async def test_stopping_in_the_middle_of_an_answer_keeps_what_was_written(engine: EngineClient):
    heard = Heard()
    task = asyncio.create_task(
        ask(engine, "go on", greedy(4000), heard=heard, answer_id="stopped"),
    )
    await engine.wait_until(lambda _: bool(heard.tokens), timeout_s=LIMIT_S)
    engine.cancel("stopped")
    await task
    assert heard.finished.reason == "cancelled"
    assert 0 < len(heard.tokens) == heard.finished.stats.completion_tokens < 4000


async def test_a_reader_that_leaves_frees_the_engine_for_the_next(engine: EngineClient):
    await ask(engine, "go on", greedy(4000), until=Tokens)
    assert engine.health.state == "ready"
    async with asyncio.timeout(1):
        assert (await ask(engine, "next", greedy(3))).finished.reason == "length"


async def test_a_cancelled_task_frees_the_engine_in_the_middle_of_a_prompt(engine: EngineClient):
    heard = Heard()
    task = asyncio.create_task(ask(engine, long_prompt(CONTEXT), greedy(5), heard=heard))
    await engine.wait_until(lambda _: len(heard.all(Prefilled)) > 1, timeout_s=LIMIT_S)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not heard.all(Tokens)
    async with asyncio.timeout(1):
        after = await ask(engine, "short", greedy(5))
    fresh = await ask(engine, "short", greedy(5))
    assert after.text == fresh.text


async def test_what_is_cancelled_while_queued_never_runs(engine: EngineClient):
    async with aclosing(
        engine.generate(user("first"), sampling=greedy(4000), speculative=PLAIN)
    ) as first:
        await anext(first)
        waiting = Heard()
        task = asyncio.create_task(
            ask(engine, "second", heard=waiting, owner="b", answer_id="second")
        )
        await engine.wait_until(lambda health: health.queue_length == 1, timeout_s=LIMIT_S)
        engine.cancel("second")
        await task
    assert [event.type for event in waiting.events] == ["queued", "finished"]
    assert waiting.finished.reason == "cancelled"
    assert engine.health.queue_length == 0


async def test_an_id_names_one_answer_at_a_time(engine: EngineClient):
    async with aclosing(
        engine.generate(user("a"), sampling=greedy(), speculative=PLAIN, answer_id="same")
    ) as first:
        await anext(first)
        with pytest.raises(RequestError, match="'same' is being written"):
            await ask(engine, "b", answer_id="same")
    assert (await ask(engine, "b", answer_id="same")).finished.reason == "length"
    engine.cancel("same")


async def test_owners_take_turns_and_see_their_position(engine: EngineClient):
    order: list[str] = []

    async def one(owner: str) -> Heard:
        heard = await ask(engine, f"question of {owner}", greedy(20), owner=owner)
        order.append(owner)
        return heard

    async with aclosing(
        engine.generate(user("first"), sampling=greedy(4000), speculative=PLAIN)
    ) as first:
        await anext(first)
        tasks = []
        for owner in "aaab":
            tasks.append(asyncio.create_task(one(owner)))
            count = len(tasks)
            await engine.wait_until(lambda health: health.queue_length == count)  # noqa: B023
    heards = await asyncio.gather(*tasks)
    assert "".join(order) == "abaa"
    positions = [[event.position for event in heard.all(Queued)] for heard in heards]
    assert [first for first, *_ in positions] == [1, 2, 3, 2]
    assert all(
        later < earlier or later == earlier + 1 for p in positions for earlier, later in pairwise(p)
    )
    solo = await ask(engine, "question of a", greedy(20))
    assert {heard.text for heard in heards[:3]} == {solo.text}


async def test_more_than_may_wait_are_refused_at_once(engine: EngineClient, settings: Settings):
    async with aclosing(
        engine.generate(user("first"), sampling=greedy(4000), speculative=PLAIN)
    ) as first:
        await anext(first)
        waiting = [asyncio.create_task(ask(engine, "more")) for _ in range(settings.queue_limit)]
        await engine.wait_until(lambda health: health.queue_length == settings.queue_limit)
        with pytest.raises(QueueFullError, match="16 of 16"):
            await ask(engine, "too many")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert engine.health.queue_length == 0


async def test_a_reader_who_pauses_blocks_nobody(engine: EngineClient):
    slow = engine.generate(user("slow"), sampling=greedy(300), speculative=PLAIN)
    async with aclosing(slow):
        assert isinstance(await anext(slow), Started)
        other = await ask(engine, "other", greedy(5), owner="b")
        assert other.finished.reason == "length"
        rest = [event async for event in slow]
    assert isinstance(rest[-1], Finished)
    assert rest[-1].stats.completion_tokens == 300


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "conversation is empty"),
        (user(""), "last message is empty"),
        (user(" \n\t"), "last message is empty"),
        (user("x" * 400_001), "400001 characters, more than 400000"),
        (user("\ud800"), "no Unicode"),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_a_reason(
    engine: EngineClient, messages: list[ChatMessage], words: str
):
    with pytest.raises(RequestError, match=words):
        await ask(engine, messages)
    assert engine.health.state == "ready"


async def test_a_conversation_longer_than_the_context_is_refused_with_numbers(
    engine: EngineClient,
):
    with pytest.raises(ContextFullError, match=rf"\d+ tokens, the context {CONTEXT}"):
        await ask(engine, "ab" * CONTEXT)
    assert (await ask(engine, "short")).finished.reason == "length"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "missing"),
        ("truncated", "truncated"),
        ("garbage", "garbage"),
        ("sick", "sick"),
    ],
)
async def test_a_draft_that_cannot_be_used_leaves_standard_mode_and_the_reason(
    engine: EngineClient, name: str, reason: str
):
    plain = await ask(engine, "hello")
    heard = await ask(engine, "hello", greedy(), drafted(name))
    assert (heard.mode.mode, heard.mode.drafter) == ("standard", None)
    assert reason in heard.mode.reason
    assert heard.text == plain.text
    with pytest.raises(DraftError, match=reason):
        await ask(engine, "hello", greedy(), drafted(name, fallback_enabled=False))


async def test_drafting_that_is_switched_off_says_so(engine: EngineClient):
    heard = await ask(engine, "hello", greedy(), PLAIN)
    assert (heard.mode.mode, heard.mode.reason) == ("standard", "drafting is switched off")


async def test_an_answer_whose_draft_was_left_free_leaves_how_fast_it_was(
    engine: EngineClient, settings: Settings
):
    kept = Admission(settings).find_target("target").speeds
    before = recall_speeds(kept).get("lookup", UNKNOWN).tokens
    for speculative in (SpeculativeConfig(draft_model="lookup"), drafted("lookup"), PLAIN):
        await ask(engine, "hello", greedy(30), speculative)
    assert recall_speeds(kept)["lookup"].tokens == before + 30


async def test_an_answer_that_another_draft_wrote_says_nothing_of_the_one_that_was_asked(
    engine: EngineClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    noted: list[Generate] = []
    monkeypatch.setattr(
        Admission, "note", lambda _self, _file, request, _stats: noted.append(request)
    )
    for name in ("draft", "sick"):
        await ask(engine, "hello", greedy(30), SpeculativeConfig(draft_model=name))
    assert [request.draft.name for request in noted] == ["draft"]


async def test_stats_tell_what_the_worker_holds(engine: EngineClient):
    await ask(engine, "hello", greedy(9), drafted("draft"))
    stats = await engine.stats()
    assert stats.target is not None
    assert stats.target.context_tokens == CONTEXT
    assert [draft.name for draft in stats.open_drafts] == ["tiny-draft"]
    assert stats.cached_tokens > 9
    assert stats.answers > 0
    assert stats.rss_bytes > 2**20


async def test_closing_ends_the_worker_and_cuts_what_runs_and_fails_what_waits(
    folder, settings: Settings
):
    client = EngineClient(make_settings(folder, cache_folder=settings.cache_folder))
    await client.start()
    running = asyncio.create_task(ask(client, "first", greedy(8000)))
    await client.wait_until(lambda health: health.state == "busy", timeout_s=LIMIT_S)
    waiting = asyncio.create_task(ask(client, "second"))
    await client.wait_until(lambda health: health.queue_length == 1, timeout_s=LIMIT_S)
    async with asyncio.timeout(5):
        await client.close()
    assert (await running).finished.reason == "cancelled"
    with pytest.raises(EngineError, match="not running"):
        await waiting
    assert (client.health.state, client.health.pid) == ("stopped", None)
