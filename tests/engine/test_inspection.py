"""A look at one position: what the target thinks of the tokens that might stand there."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from config import SamplingParams
from tests.engine.conftest import CONTEXT, LIMIT_S, PLAIN, ask, drafted, greedy, long_prompt, user
from utils.engine.client import EngineClient
from utils.engine.protocol import MAX_CANDIDATES, ChatMessage
from utils.errors import RequestError

pytestmark = pytest.mark.asyncio(loop_scope="module")
VOCABULARY = 512


async def test_the_likeliest_token_is_the_one_that_greedy_decoding_wrote(engine: EngineClient):
    heard = await ask(engine, "hello", greedy(12))
    written = [token.token_id for token in heard.tokens]
    for index in (0, 5, 11):
        found = await engine.inspect(
            user("hello"), written_ids=written[:index], candidates=(7, written[index])
        )
        other, chosen = found.candidates
        assert chosen == found.top
        assert (other.token_id, chosen.token_id) == (7, written[index])
        assert other.logit < chosen.logit
        assert found.prompt_tokens == heard.started.prompt_tokens + index


async def test_the_gap_is_the_bias_that_turns_the_choice(engine: EngineClient):
    heard = await ask(engine, "hello", greedy(4))
    written = [token.token_id for token in heard.tokens]
    found = await engine.inspect(user("hello"), written_ids=written[:3], candidates=(9,))
    gap = found.top.logit - found.candidates[0].logit
    for bias, expected in ((gap - 0.1, written[3]), (gap + 0.1, 9)):
        sampling = SamplingParams(temperature=0, max_tokens=1, logit_bias={9: bias})
        rest = await ask(engine, "hello", sampling, written_ids=written[:3])
        assert rest.tokens[0].token_id == expected


async def test_pieces_are_what_tokens_write_and_control_tokens_their_names(engine: EngineClient):
    letter = 5 + ord("e")
    found = await engine.inspect(user("hello"), candidates=(letter, 2))
    assert [token.piece for token in found.candidates] == ["e", "<|im_end|>"]


async def test_messages_that_were_left_out_of_the_answer_are_left_out_here(engine: EngineClient):
    first = [*user("one"), ChatMessage(role="assistant", content="1")]
    alone = await engine.inspect(user("two"), candidates=(7,))
    rest = await engine.inspect([*first, *user("two")], candidates=(7,), dropped_messages=2)
    assert rest.candidates == alone.candidates
    assert rest.prompt_tokens == alone.prompt_tokens


async def test_the_next_answer_is_not_changed_by_a_look(engine: EngineClient):
    before = await ask(engine, "hello", greedy(20), drafted("draft"))
    await engine.inspect(user("something else"), written_ids=(9, 9, 9), candidates=(7,))
    after = await ask(engine, "hello", greedy(20), drafted("draft"))
    assert after.text == before.text
    assert engine.health.state == "ready"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"candidates": (VOCABULARY,)}, "token 512 is none of this model"),
        ({"candidates": (7,), "written_ids": (VOCABULARY,)}, "another model began it"),
        ({"candidates": (-1,)}, "none of them negative"),
        ({"candidates": (7,), "written_ids": (-1,)}, "none of them negative"),
        ({"candidates": range(MAX_CANDIDATES + 1)}, "found 17"),
        ({"candidates": (7,), "written_ids": (9,) * CONTEXT}, f"the context {CONTEXT}"),
        ({"candidates": (7,), "dropped_messages": 9}, "conversation is empty"),
    ],
)
async def test_what_cannot_be_looked_at_is_refused_with_a_reason(engine, options, words):
    with pytest.raises(RequestError, match=words):
        await engine.inspect(user("hello"), **options)
    assert (await engine.inspect(user("hello"), candidates=(7,))).candidates
    assert engine.health.state == "ready"


async def test_a_look_waits_for_its_turn(engine: EngineClient):
    answer = engine.generate(user("go on"), sampling=greedy(4000), speculative=PLAIN)
    async with aclosing(answer):
        await anext(answer)
        look = asyncio.create_task(engine.inspect(user("hello"), candidates=(7,), owner="b"))
        await engine.wait_until(lambda health: health.queue_length == 1, timeout_s=LIMIT_S)
        assert not look.done()
    assert (await look).candidates


async def test_who_leaves_stops_the_look_and_frees_the_engine(engine: EngineClient):
    look = asyncio.create_task(engine.inspect(long_prompt(CONTEXT), candidates=(7,)))
    await engine.wait_until(lambda health: health.state == "busy", timeout_s=LIMIT_S)
    look.cancel()
    await asyncio.gather(look, return_exceptions=True)
    async with asyncio.timeout(LIMIT_S):
        assert (await ask(engine, "next", greedy(3))).finished.reason == "length"
