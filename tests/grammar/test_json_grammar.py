"""JSON and JSON schemas as grammars: what they let through, and what is refused."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.grammar.conftest import compiled, fits
from utils.errors import RequestError
from utils.grammar.automaton import DEAD, Automaton
from utils.grammar.json_grammar import JSON_OBJECT, grammar_of_schema

ANY_OBJECT = compiled(JSON_OBJECT)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(-1e9, 1e9).map(lambda value: round(value, 6)),
    st.text(st.characters(exclude_characters="\x7f", exclude_categories=["Cs"])),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text('abc"\\é\n'), inner)),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text('ab "\\\u2028'), VALUES), st.booleans())
def test_every_object_is_an_object_of_the_grammar(value, escaped):
    assert fits(ANY_OBJECT, json.dumps(value, ensure_ascii=escaped))


def wander(automaton: Automaton, rng: random.Random) -> bytes:
    """Write a text of the grammar at random, sooner or later one that ends."""
    state, text = automaton.start, b""
    while True:
        going_on = [byte for byte in range(256) if automaton.read(state, bytes([byte])) != DEAD]
        if automaton.is_end(state) and (not going_on or rng.random() < 0.3):
            return text
        # Closing brackets and quotes are preferred, so that texts end.
        closing = [byte for byte in going_on if byte in b'"}]e0l']
        pool = closing if closing and rng.random() < 0.5 else going_on
        byte = bytes([rng.choice(pool)])
        state, text = automaton.read(state, byte), text + byte


def test_every_text_of_the_grammar_is_an_object():
    rng = random.Random(4)
    for _ in range(300):
        assert isinstance(json.loads(wander(ANY_OBJECT, rng)), dict)


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "{", '{"a":1,}', '{"a":01}', '{"a":"\n"}', "{a:1}", '{"a":1}}', "{}\n"]
)
def test_what_is_no_object_does_not_fit(text):
    assert not fits(ANY_OBJECT, text)


PERSON = {
    "title": "Person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 3},
        "age": {"type": "integer"},
        "pets": {"type": "array", "items": {"enum": ["cat", "dog", 7]}, "maxItems": 2},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["name", "next"],
}
SCHEMAS = [
    (
        PERSON,
        [
            {"name": "é", "next": None},
            {"name": "Ann", "age": -3, "pets": ["cat", 7], "next": {"name": "B", "next": None}},
        ],
        [
            {},
            {"name": "", "next": None},
            {"name": "Anna", "next": None},
            {"name": "A", "age": 1.5, "next": None},
            {"name": "A", "pets": ["cat"] * 3, "next": None},
            {"name": "A"},
            {"name": "A", "other": 1, "next": None},
        ],
    ),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [[True, False]], [[True], []]),
    ({"type": "array", "maxItems": 0}, [[]], [[1]]),
    ({"type": "array", "items": True, "maxItems": 1}, [[], [{}]], [[1, 2]]),
    ({"type": ["string", "null"]}, ["a", None], [1]),
    ({"type": ["string", "integer"], "maxLength": 1}, ["a", 5], ["ab"]),
    ({"const": 'a"\\\né'}, ['a"\\\né'], ["a"]),
    ({}, [1, "a", [], {}, None], []),
    ({"type": "object"}, [{}, {"a": 1}], [[]]),
    ({"type": "object", "additionalProperties": False}, [{}], [{"a": 1}]),
    ({"additionalProperties": {"type": "null"}}, [{"a": None, "b": None}], [{"a": 1}]),
    ({"properties": {"a": {}, "b": {}}}, [{}, {"a": 1}, {"b": 1}, {"a": 1, "b": 2}], [{"c": 1}]),
    ({"$defs": {"n": {"type": "null"}}, "$ref": "#/$defs/n"}, [None], [1]),
    ({"allOf": [{"type": "null"}]}, [None], [1]),
]


@pytest.mark.parametrize(("schema", "good", "bad"), SCHEMAS)
def test_a_schema_lets_through_what_it_describes_and_nothing_else(schema, good, bad):
    automaton = compiled(grammar_of_schema(json.dumps(schema)))
    spell = [lambda value: json.dumps(value, ensure_ascii=False)]
    spell.append(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    for write in spell:
        assert [value for value in good if not fits(automaton, write(value))] == []
        assert [value for value in bad if fits(automaton, write(value))] == []


REFUSED = [
    ("{", "is no JSON"),
    ("[" * 100_000, "is no JSON"),
    ("3", "expected an object"),
    ("false", "expected an object"),
    ('{"type": "integer", "minimum": 3}', "'minimum' at # is not supported"),
    ('{"type": "string", "pattern": "a+"}', "'pattern'"),
    ('{"type": "thing"}', "no such type: 'thing'"),
    ('{"properties": {"a": {"not": {}}}}', "'not' at #/properties/a"),
    ('{"required": ["a"]}', "no property 'a'"),
    ('{"properties": []}', "properties or required"),
    ('{"$ref": "https://example.com"}', "only references to itself"),
    ('{"$ref": "#/nothing"}', "refers to nothing"),
    ('{"$ref": 3}', "only references to itself"),
    ('{"enum": []}', "enum cannot be kept"),
    ('{"allOf": [{}, {}]}', "allOf cannot be kept"),
    ('{"type": []}', "nothing is allowed"),
    ('{"type": "array", "minItems": -1}', "is no count"),
    ('{"type": "array", "maxItems": 1.5}', "is no count"),
    ('{"const": 1e999}', "is no JSON"),
    ('{"items":' * 100 + "{}" + "}" * 100, "nested deeper"),
]


@pytest.mark.parametrize(("schema", "reason"), REFUSED)
def test_a_schema_that_cannot_be_kept_is_refused_with_the_reason(schema, reason):
    with pytest.raises(RequestError, match="JSON schema") as caught:
        grammar_of_schema(schema)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "schema", ['{"$ref": "#"}', '{"type": "array", "maxItems": 1000000000}', '{"const": "\\ud800"}']
)
def test_what_no_grammar_can_say_is_refused_as_a_grammar(schema):
    with pytest.raises(RequestError, match="grammar"):
        compiled(grammar_of_schema(schema))
