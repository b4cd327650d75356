"""Grammars over the tokens of a vocabulary, and llama.cpp's own grammars as the judge of them."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator

import numpy as np
import pytest
from llama_cpp import llama_cpp as native

from config import ROOT, ModelOptions, SamplingParams
from tests.fake_model import FakeVocabulary
from utils.constraint import HeldAnswer
from utils.errors import ModelError, RequestError
from utils.grammar.json_grammar import JSON_OBJECT, grammar_of_schema
from utils.grammar.tokens import Constraints, GrammarConstraint, TokenTable
from utils.llama.model import LlamaModel
from utils.llama.vocabulary import LlamaVocabulary

OPTIONS = ModelOptions(context_tokens=64, batch_tokens=16, threads=1)
GRAMMARS = {
    "json": JSON_OBJECT,
    "schema": grammar_of_schema(
        '{"properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "array", "items": {}}}}'
    ),
    "words": 'root ::= (word " ")* word "."\nword ::= [a-z]{1,6} | [A-Z] [a-z]*',
    "accents": "root ::= [^ -~\\n]* [à-ü€]+ | .{2,9}",
    "ambiguous": 'root ::= ("a" | "an" | "and")* [^x]*',
}


@pytest.fixture(scope="module")
def vocabulary() -> Iterator[LlamaVocabulary]:
    with LlamaModel.open(ROOT / "models" / "demo-target.gguf", OPTIONS) as model:
        yield model.vocabulary


@pytest.fixture(scope="module")
def table(vocabulary: LlamaVocabulary) -> TokenTable:
    return TokenTable(vocabulary)


class Judge:
    """The grammar sampler of llama.cpp after some tokens."""

    def __init__(self, vocabulary: LlamaVocabulary, grammar: str) -> None:
        self.size = vocabulary.size
        self._sampler = native.llama_sampler_init_grammar(
            vocabulary._handle, grammar.encode(), b"root"
        )

    def allowed(self) -> set[int]:
        data = (native.llama_token_data * self.size)(*((n, 0.0, 0.0) for n in range(self.size)))
        array = native.llama_token_data_array(data, self.size, -1, False)
        native.llama_sampler_apply(self._sampler, ctypes.byref(array))
        return {item.id for item in data if item.logit == 0}

    def accept(self, token_id: int) -> None:
        native.llama_sampler_accept(self._sampler, token_id)

    def close(self) -> None:
        native.llama_sampler_free(self._sampler)


def is_judged_alike(table: TokenTable, token_id: int) -> bool:
    """Leave out where llama.cpp reads a control token by its name, and bytes no UTF-8 has."""
    piece = table.pieces[token_id]
    strange = any(byte in piece for byte in (0, 0xC0, 0xC1, 0xE0, 0xED, *range(0xF0, 256)))
    return (bool(piece) and not strange) or token_id in table.ends


@pytest.mark.no_cover
@pytest.mark.parametrize("name", GRAMMARS)
def test_the_tokens_allowed_are_those_that_llama_cpp_allows(table, vocabulary, name):
    rng = random.Random(name)
    compared = 0
    for _ in range(5):
        constraint = GrammarConstraint(table, GRAMMARS[name])
        judge = Judge(vocabulary, GRAMMARS[name])
        state: int | None = constraint.start
        for _ in range(12):
            assert state is not None
            own = {n for n in constraint.allowed(state).tolist() if is_judged_alike(table, n)}
            judged = {n for n in judge.allowed() if is_judged_alike(table, n)}
            assert own == judged
            compared += len(own)
            going_on = sorted(own - set(table.ends.tolist()))
            if not going_on:
                break
            token_id = rng.choice(going_on)
            judge.accept(token_id)
            state = constraint.after(state, token_id)
        judge.close()
    assert compared > 100


@pytest.mark.parametrize("name", GRAMMARS)
def test_a_token_is_allowed_where_it_leads_on(table, name):
    constraint = GrammarConstraint(table, GRAMMARS[name])
    state = constraint.start
    rng = random.Random(1)
    for _ in range(20):
        allowed = constraint.allowed(state)
        assert np.array_equal(allowed, np.unique(allowed))
        leading_on = [n for n in range(len(table.pieces)) if constraint.after(state, n) is not None]
        assert allowed.tolist() == leading_on
        state = constraint.after(state, rng.choice(leading_on))


def test_an_answer_may_end_exactly_where_the_grammar_does(table, vocabulary):
    constraint = GrammarConstraint(table, 'root ::= "no" "body"?')
    held = HeldAnswer(constraint, [])
    written = vocabulary.tokenize("no", parse_special=False)
    end = vocabulary.eos
    assert end not in held.allowed(vocabulary.size, [])
    assert end in held.allowed(vocabulary.size, written)
    assert held.allowed(vocabulary.size, written, [end]).tolist()


def test_tokens_without_text_are_never_allowed(table, vocabulary):
    constraint = GrammarConstraint(table, "root ::= .*")
    silent = {n for n in vocabulary.control_ids if not vocabulary.is_end(n)}
    assert silent
    assert not silent & set(constraint.allowed(constraint.start).tolist())


def test_the_state_is_that_after_the_emitted_tokens_whatever_is_drafted(table, vocabulary):
    def write(text):
        return vocabulary.tokenize(text, parse_special=False)

    held = HeldAnswer(GrammarConstraint(table, JSON_OBJECT), [1, 2])
    size = vocabulary.size
    before = held.allowed(size, [1, 2]).tolist()
    brace, name = write("{"), write('"a')
    assert held.allowed(size, [1, 2], brace + name).tolist() != before
    assert held.fitting([1, 2], brace + brace) == 1
    assert held.fitting([1, 2], brace + name) == len(brace + name)
    assert held.allowed(size, [1, 2]).tolist() == before
    assert (
        held.allowed(size, [1, 2, *brace]).tolist()
        == (
            HeldAnswer(GrammarConstraint(table, JSON_OBJECT), brace, begun=1).allowed(size, brace)
        ).tolist()
    )


def test_an_answer_that_breaks_its_grammar_is_not_gone_on_with(table, vocabulary):
    written = vocabulary.tokenize("Once upon", parse_special=False)
    with pytest.raises(RequestError, match="cannot be gone on with"):
        HeldAnswer(GrammarConstraint(table, JSON_OBJECT), written, begun=len(written))


def test_where_no_token_fits_the_model_is_told():
    table = TokenTable(FakeVocabulary(6, end=5))
    held = HeldAnswer(GrammarConstraint(table, 'root ::= "a1"'), [])
    assert held.allowed(6, []).tolist() == [0]
    with pytest.raises(ModelError, match="no token of this model fits"):
        held.allowed(6, [0])
    with pytest.raises(ModelError, match="no token of this model fits"):
        held.allowed(6, [], [3])


def test_only_the_newest_grammars_are_kept_and_what_is_kept_is_used_again(vocabulary):
    constraints = Constraints(vocabulary)
    assert constraints.take(SamplingParams()) is None
    first = constraints.take(SamplingParams(json_output=True))
    assert constraints.take(SamplingParams(json_output=True)) is first
    for number in range(4):
        constraints.take(SamplingParams(grammar=f'root ::= "{number}"'))
    assert constraints.take(SamplingParams(json_output=True)) is not first


def test_an_answer_has_one_form(vocabulary):
    with pytest.raises(RequestError, match="one form"):
        Constraints(vocabulary).take(SamplingParams(json_output=True, grammar='root ::= "a"'))
