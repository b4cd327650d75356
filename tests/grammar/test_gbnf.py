"""GBNF: what it means, what is refused, and that no text makes reading it run away."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.grammar.conftest import compiled, fits, may_begin
from utils.errors import RequestError
from utils.grammar.automaton import MAX_STATES, Automaton
from utils.grammar.gbnf import parse_gbnf
from utils.grammar.rules import utf8_sequences

MEANINGS: list[tuple[str, list[str], list[str]]] = [
    ('root ::= "ab" | "c"', ["ab", "c"], ["", "a", "abc", "cc"]),
    ('root ::= "a"*', ["", "a", "aaaa"], ["b", "ab"]),
    ('root ::= "a"+ "b"?', ["a", "aab"], ["", "b", "abb"]),
    ('root ::= "ab"{2}', ["abab"], ["ab", "ababab"]),
    ('root ::= "a"{2,3}', ["aa", "aaa"], ["a", "aaaa"]),
    ('root ::= "a"{2,}', ["aa", "aaaaaaa"], ["a"]),
    ('root ::= "a"{0,2} "b"', ["b", "ab", "aab"], ["aaab"]),
    ('root ::= ("a" | "b")+ "c"', ["abac"], ["c", "ab"]),
    ("root ::= [a-cx]+", ["abcx"], ["d", ""]),
    ("root ::= [^a-c\\n]", ["d", "é", "€", "😀"], ["a", "\n"]),
    ("root ::= [à-ü€]{2}", ["éü", "€à"], ["e", "éa"]),
    ("root ::= .", ["a", "\n", "\U0010ffff"], ["", "ab"]),
    ('root ::= "\\x41\\u00e9\\U0001F600\\n\\"\\\\"', ['Aé😀\n"\\'], ["A"]),
    ("root ::= [\\]\\-a^]", ["]", "-", "a", "^"], ["b"]),
    ('root ::= "é"', ["é"], ["e"]),
    ('root ::= a a\na ::= "x" | ""', ["", "x", "xx"], ["xxx"]),
    ('root ::= "(" root ")" | "x"', ["x", "((x))"], ["((x)", ")x("]),
    ('# note\nroot ::= ( # more\n "a"\n| "b" )  # end\n\n', ["a", "b"], ["ab"]),
    ('root ::=\n  "a" |\n  "b"\r\nx ::= "c"', ["a", "b"], ["c"]),
]


@pytest.mark.parametrize(("grammar", "good", "bad"), MEANINGS)
def test_a_grammar_means_what_its_notation_says(grammar, good, bad):
    automaton = compiled(grammar)
    assert [text for text in good if not fits(automaton, text)] == []
    assert [text for text in bad if fits(automaton, text)] == []


REFUSED = {
    "": "no rule 'root'",
    'r ::= "a"': "no rule 'root'",
    "root ::= x": "no rule 'x'",
    'root ::= "a': "ends inside quotes",
    "root ::= [a": "ends inside quotes",
    "root ::= []": "holds none",
    "root ::= [^\\U00000000-\\U0010FFFF]": "holds none",
    'root ::= ("a"': "')' is missing",
    'root ::= "a")': "something unknown",
    "root = x": "'::=' is missing",
    "::= x": "name of a rule",
    "root ::= *": "nothing stands before '*'",
    'root ::= "a"{2,1}': "ends before it begins",
    'root ::= "a"{x}': "not of the form",
    'root ::= "a"{99999}': "more than 2000",
    'root ::= "\\q"': "escape is unknown",
    'root ::= "\\U00110000"': "beyond the last",
    'root ::= "\\uD800"': "surrogate",
    'root ::= "a"\nroot ::= "b"': "defined twice",
    "root ::= <think>": "references to tokens",
    "root ::= !<[3]>": "references to tokens",
    'root ::= root "a" | "b"': "left-recursive: rule 'root'",
    'root ::= b root "x" | "y"\nb ::= c\nc ::= ""': "left-recursive",
}


@pytest.mark.parametrize("grammar", REFUSED)
def test_a_grammar_that_cannot_be_read_is_refused_with_the_reason(grammar):
    with pytest.raises(RequestError, match="grammar") as caught:
        compiled(grammar)
    assert REFUSED[grammar] in str(caught.value)


def test_an_error_names_the_line():
    with pytest.raises(RequestError, match=r"line 3, at '\)'"):
        compiled('root ::= a\n\na ::= "b" )')


# llama.cpp's own parser dies of the first, and never returns from the next two.
HOSTILE = {
    "nested": "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000,
    "doubling": "\n".join(f"a{n} ::= a{n + 1} | a{n + 1}" for n in range(3000))
    + '\na3000 ::= "x"\nroot ::= a0',
    "hidden recursion": 'root ::= b root "x" | "y"\nb ::= c\nc ::= ""',
    "chain": "\n".join(f"a{n} ::= a{n + 1}" for n in range(5000)) + '\na5000 ::= "x"\nroot ::= a0',
    "copies": "root ::= " + ' "abcdefghij"{2000}' * 3000,
    "copies of copies": "root ::= " + "(" * 9 + '"a"' + "{99})" * 9,
    "stars": "root ::= " + "(" * 50 + '"a"' + ")*" * 50,
    "readings": 'root ::= "a" root "b" | "a" root "c" | "a"',
    "many": "root ::= " + '"a"? ' * 8000,
    "wide": "root ::= [" + "".join(chr(n) for n in range(0x4E00, 0x9E00, 2)) + "]*",
    "noise": "\x00\ufffe root ::= \ud800" * 100,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_grammar_ends_soon_in_an_error_or_a_small_automaton(name):
    begin = perf_counter()
    try:
        automaton = compiled(HOSTILE[name])
        automaton.read(automaton.start, b"a" * 5000)
        assert len(automaton._states) <= MAX_STATES
    except RequestError:
        pass
    assert perf_counter() - begin < 30


def test_a_text_that_can_be_read_in_too_many_ways_is_an_error_while_it_is_written():
    automaton = compiled('root ::= "a" root "b" | "a" root "c" | "a"')
    with pytest.raises(RequestError, match="too complex"):
        automaton.read(automaton.start, b"a" * 100)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='root:=ab"[]()^-.*+?{},0123456789|\\<>!# \n', max_size=60))
def test_any_text_is_a_grammar_or_a_request_error(text):
    try:
        automaton = compiled("root ::= " + text)
    except RequestError:
        return
    automaton.read(automaton.start, b"abab")


def test_bytes_are_read_as_characters_however_they_are_cut():
    automaton = compiled("root ::= [é-ü]")
    data = "é".encode()
    assert may_begin(automaton, data[:1])
    assert fits(automaton, data)
    for wrong in (b"\xc0", b"\xed\xa0", b"\xf5", b"\x80", b"\xe0\x80"):
        assert not may_begin(compiled("root ::= .*"), wrong)


@given(st.integers(0, 0x10FFFF), st.integers(0, 0x10FFFF), st.integers(0, 0x10FFFF))
def test_a_range_of_characters_becomes_exactly_their_bytes(one, two, probe):
    low, high = sorted((one, two))
    if 0xD800 <= probe <= 0xDFFF:
        return
    data = chr(probe).encode()
    matches = [
        sequence
        for sequence in utf8_sequences(low, high)
        if len(sequence) == len(data)
        and all(item.low <= byte <= item.high for item, byte in zip(sequence, data, strict=True))
    ]
    assert len(matches) == (low <= probe <= high)


def test_text_before_a_mark_is_free():
    rules = parse_gbnf('root ::= "{" [a-z]* "}"')
    rules.begin_after(b"</think>")
    automaton = Automaton(rules)
    assert fits(automaton, "I <think </thi</think>\n\n{ab}")
    assert fits(automaton, b"\xff\x00</think>{}")
    assert not fits(automaton, "{ab}")
    assert not may_begin(automaton, "x</think>\n\nNo")
    assert not may_begin(automaton, "</think>{a} </think>{b}")
