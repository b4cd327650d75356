"""Grammars through the engine and its worker: kept, refused in words, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config import ModelOptions, SamplingParams
from tests.engine.conftest import PLAIN, Heard, ask, drafted, user
from tests.tiny_gguf import CHAT_TEMPLATE, write_tiny_gguf
from utils.engine.engine import Engine
from utils.engine.memory import resident_bytes
from utils.engine.protocol import DraftChoice, Generate, Load
from utils.errors import RequestError

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPTIONS = ModelOptions(context_tokens=512, threads=1, batch_threads=1, batch_tokens=64)
WORDS = 'root ::= [a-z]{3} " " [0-9]{2}'
BAD = {
    "root ::= x": "no rule 'x'",
    "root ::= " + "(" * 30_000: "nested deeper",
    'root ::= root "a" | "b"': "left-recursive",
    'root ::= b root "x" | "y"\nb ::= c\nc ::= ""': "left-recursive",
    'root ::= "a" root "b" | "a" root "c"': "too complex",
}


def form(**options: object) -> SamplingParams:
    return SamplingParams(**{"temperature": 0.8, "seed": 1, "max_tokens": 120, **options})


async def load(path: Path) -> Engine:
    own = Engine()
    request = Load(id="l", path=str(path), options=OPTIONS)
    await own.load(request, report=lambda *_: None, should_stop=lambda: False)
    return own


async def answer(by: Engine, sampling: SamplingParams, **options: object) -> Heard:
    request = Generate(
        id="g",
        messages=tuple(user("hello")),
        sampling=sampling,
        speculative=PLAIN,
        draft=DraftChoice(kind="none"),
        **options,
    )
    return Heard([event async for event in by.generate(request, lambda: False)])


@pytest.mark.parametrize("grammar", BAD, ids=range(len(BAD)))
async def test_a_bad_grammar_fails_its_answer_and_nothing_else(engine, grammar):
    pid = engine.health.pid
    with pytest.raises(RequestError, match="grammar") as caught:
        await ask(engine, "hello", form(grammar=grammar))
    assert BAD[grammar] in str(caught.value)
    heard = await ask(engine, "hello", form(grammar=WORDS))
    assert heard.finished.reason == "stop"
    assert engine.health.pid == pid


async def test_a_schema_that_cannot_be_kept_is_refused(engine):
    with pytest.raises(RequestError, match="'minimum'"):
        await ask(engine, "hello", form(json_schema='{"type": "integer", "minimum": 1}'))


async def test_json_comes_out_the_same_with_any_draft(engine):
    schema = json.dumps(
        {"properties": {"a": {"type": "string", "maxLength": 9}, "b": {"const": 1}}}
    )
    sampling = form(json_schema=schema)
    texts = {
        (await ask(engine, "hello", sampling, speculative)).text
        for speculative in (PLAIN, drafted("draft"), drafted("lookup"))
    }
    assert len(texts) == 1
    assert isinstance(json.loads(texts.pop()), dict)


async def test_an_answer_is_gone_on_with_where_its_grammar_stood(engine):
    whole = await ask(engine, "hello", form(grammar=WORDS))
    begun = [token.token_id for token in whole.tokens[:3]]
    rest = await ask(engine, "hello", form(grammar=WORDS), written_ids=begun)
    assert [token.token_id for token in rest.tokens] == [t.token_id for t in whole.tokens[3:]]
    with pytest.raises(RequestError, match="breaks its grammar"):
        await ask(engine, "hello", form(json_output=True), written="Once upon a time")


async def test_a_thought_that_the_prompt_opens_is_free_and_the_answer_is_not(tmp_path: Path):
    template = CHAT_TEMPLATE.replace("assistant\n'", "assistant\n<think>\n'")
    own = await load(write_tiny_gguf(tmp_path / "thinker.gguf", chat_template=template))
    free = await answer(own, form(grammar=WORDS, max_tokens=40))
    assert free.started.opened.strip() == "<think>"
    assert free.finished.reason == "length"
    after = await answer(own, form(grammar=WORDS), written="Hm.</think>\n\n")
    assert after.finished.reason == "stop"
    word, number = after.text.split()
    assert word.isalpha()
    assert number.isdigit()
    own.close()


@pytest.mark.no_cover
async def test_a_thousand_answers_leave_no_memory_behind(tmp_path: Path):
    """What is kept per grammar is bounded: growth beyond it would show as megabytes."""
    own = await load(write_tiny_gguf(tmp_path / "tiny.gguf"))
    sizes = []
    for number in range(1000):
        grammar = f'root ::= "{number}" [a-z]{{2,4}} [^a-z]'
        heard = await answer(own, form(grammar=grammar, seed=number, max_tokens=16))
        assert heard.finished.reason == "stop"
        if number in (300, 999):
            sizes.append(resident_bytes())
    own.close()
    assert sizes[1] - sizes[0] < 4 * 2**20
