"""Conversations longer than the context: the oldest turns go where that is wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio

from config import SamplingParams
from tests.engine.conftest import PLAIN, ask, greedy, make_settings, user
from tests.tiny_gguf import write_tiny_gguf
from utils.engine.client import EngineClient
from utils.engine.protocol import ChatMessage, RenderedPrompt
from utils.errors import ContextFullError, RequestError

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONTEXT = 512
SYSTEM = ChatMessage(role="system", content="rules")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def small(tmp_path_factory) -> AsyncIterator[EngineClient]:
    """An engine with a small context, and a model that has no template."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_gguf(folder / "target.gguf", context=CONTEXT)
    write_tiny_gguf(folder / "bare.gguf", context=CONTEXT, chat_template=None)
    client = EngineClient(
        make_settings(folder, max_prompt_chars=6000, cache_folder=tmp_path_factory.mktemp("cache"))
    )
    await client.start()
    try:
        await client.load()
        yield client
    finally:
        await client.close()


def talk(turns: int, *, size: int = 25) -> list[ChatMessage]:
    """A conversation of numbered questions and answers, of so many letters and a bit more."""
    messages = [SYSTEM]
    for number in range(turns):
        messages += user(f"q{number} " + "w" * size)
        messages.append(ChatMessage(role="assistant", content=f"a{number} " + "w" * size))
    return [*messages, *user("the last question")]


async def test_the_oldest_turns_are_left_out_and_the_answer_says_how_many(small):
    heard = await ask(small, talk(30), greedy(20), drop_oldest=True)
    started = heard.started
    assert len(heard.tokens) == 20
    assert started.context_tokens == CONTEXT
    assert started.prompt_tokens + 20 <= CONTEXT
    assert started.dropped_messages > 0
    assert started.dropped_messages % 2 == 0
    kept = [SYSTEM, *talk(30)[1 + started.dropped_messages :]]
    alone = await ask(small, kept, greedy(20))
    assert (alone.text, alone.started.prompt_tokens) == (heard.text, started.prompt_tokens)
    assert alone.started.dropped_messages == 0


async def test_what_fits_is_left_as_it_is(small):
    heard = await ask(small, talk(2), greedy(20), drop_oldest=True)
    assert heard.started.dropped_messages == 0
    assert heard.text == (await ask(small, talk(2), greedy(20))).text


async def test_room_is_left_for_an_answer(small):
    short, long = [
        (await ask(small, talk(30), SamplingParams(temperature=0, max_tokens=n), drop_oldest=True))
        for n in (8, 100)
    ]
    assert len(long.tokens) == 100
    assert short.started.prompt_tokens > long.started.prompt_tokens


async def test_without_leave_a_long_conversation_is_refused_as_before(small):
    with pytest.raises(ContextFullError, match=rf"\d+ tokens, the context {CONTEXT}"):
        await ask(small, talk(30), greedy(20))


async def test_a_last_question_that_does_not_fit_is_refused(small):
    messages = [*talk(3)[:-1], *user("xy" * CONTEXT)]
    with pytest.raises(ContextFullError, match=rf"\d+ tokens, the context {CONTEXT}"):
        await ask(small, messages, greedy(20), drop_oldest=True)


async def test_most_of_what_stays_is_read_from_the_cache_at_the_next_question(small):
    answers = [
        (await ask(small, talk(turns, size=4), greedy(2), drop_oldest=True)).started
        for turns in range(40, 52)
    ]
    again = [
        later.reused_tokens / earlier.prompt_tokens
        for earlier, later in pairwise(answers)
        if later.dropped_messages == earlier.dropped_messages
    ]
    assert len(again) >= len(answers) / 2
    assert min(again) > 0.8


async def test_more_characters_than_may_be_sent_are_left_out_too(small):
    messages = talk(150)
    with pytest.raises(RequestError, match="characters, more than 6000"):
        await ask(small, messages, greedy(4))
    heard = await ask(small, messages, greedy(4), drop_oldest=True)
    assert heard.started.dropped_messages > 200
    assert heard.text == (await ask(small, talk(150), greedy(4), drop_oldest=True)).text


async def test_what_has_begun_needs_room_too(small):
    whole = await ask(small, talk(30), greedy(20), drop_oldest=True)
    ids = [token.token_id for token in whole.tokens]
    rest = await ask(small, talk(30), greedy(12), drop_oldest=True, written_ids=ids[:8])
    assert rest.started.dropped_messages == whole.started.dropped_messages
    assert [token.token_id for token in rest.tokens] == ids[8:]


async def test_a_prompt_that_others_make_is_shortened_with_them(small):
    seen: list[int] = []

    async def render(messages, control_texts):
        seen.append(len(messages))
        text = "".join(f"{message.role}: {message.content}\n" for message in messages)
        return RenderedPrompt(text=text + "assistant: ", marker="\x00")

    heard = await ask(small, talk(30), greedy(20), target="bare", render=render, drop_oldest=True)
    assert len(heard.tokens) == 20
    assert heard.started.dropped_messages == len(talk(30)) - seen[-1]
    assert heard.started.prompt_tokens + 20 <= CONTEXT
    assert 1 < len(seen) < 8
    with pytest.raises(ContextFullError):
        await ask(small, talk(30), greedy(20), target="bare", render=render)
    seen.clear()
    short = await ask(
        small, talk(1), greedy(3), PLAIN, target="bare", render=render, drop_oldest=True
    )
    assert (short.started.dropped_messages, len(seen)) == (0, 1)
