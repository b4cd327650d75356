"""GBNF, the notation of llama.cpp for grammars, read into rules over bytes.

Everything of it but references to tokens, which would tie a grammar to one vocabulary.
"""

from __future__ import annotations

import re
from typing import NoReturn

from utils.errors import RequestError
from utils.grammar.rules import MAX_ITEMS, Byte, Item, Items, Ref, Rules

MAX_REPETITIONS = 2000
MAX_DEPTH = 64
LAST_CHARACTER = 0x10FFFF
ROOT = "root"

_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile(r"[A-Za-z0-9-]+")
_COUNT = re.compile(r"\{\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}")
_ESCAPE = re.compile(r'\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([trn\\"\[\]-]))')
_ESCAPED = {"t": "\t", "r": "\r", "n": "\n"}


def parse_gbnf(text: str) -> Rules:
    """Read a grammar whose first symbol is `root`; raises `RequestError` naming line and fault."""
    return _Parser(text).parse()


class _Parser:
    """Goes through the text once; nesting is bounded, so that no text overflows the stack."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._rules = Rules()
        self._numbers: dict[str, int] = {}
        # Rule 0 is what everything begins with.
        self._number(ROOT)

    def parse(self) -> Rules:
        self._skip(_SPACE_AND_LINES)
        while self._at < len(self._text):
            self._rule()
            self._skip(_SPACE_AND_LINES)
        self._rules.check()
        return self._rules

    def _rule(self) -> None:
        number = self._number(self._name())
        self._skip(_SPACE)
        if not self._text.startswith("::=", self._at):
            self._fail("'::=' is missing after the name of a rule")
        self._at += 3
        self._skip(_SPACE_AND_LINES)
        if self._rules.choices[number] is not None:
            self._fail(f"the rule {self._rules.names[number]!r} is defined twice")
        self._rules.define(number, self._choices(self._rules.names[number], nested=False))
        if self._at < len(self._text) and self._text[self._at] not in "\r\n":
            self._fail("a rule goes on with something unknown")

    def _choices(self, name: str, *, nested: bool) -> list[Items]:
        choices = [self._sequence(name, nested=nested)]
        while self._peek() == "|":
            self._at += 1
            self._skip(_SPACE_AND_LINES)
            choices.append(self._sequence(name, nested=nested))
        return choices

    def _sequence(self, name: str, *, nested: bool) -> Items:
        items: list[Item] = []
        last: list[Item] | None = None
        while True:
            char = self._peek()
            if char in ("*", "+", "?", "{") and char:
                if last is None:
                    self._fail(f"nothing stands before {char!r}")
                least, most = self._repetition(char)
                last = self._repeated(name, last, least, most)
                if len(items) + len(last) > MAX_ITEMS:
                    self._fail("repetitions make the grammar too large")
            elif (read := self._item(char, name)) is not None:
                items += last or ()
                last = read
            else:
                return (*items, *(last or ()))
            self._skip(_SPACE_AND_LINES if nested else _SPACE)

    def _item(self, char: str, name: str) -> list[Item] | None:
        """Read what repetitions apply to; None where a sequence ends."""
        if char == '"':
            return self._literal()
        if char == "[":
            return [self._class()]
        if char == ".":
            self._at += 1
            return [self._rules.characters(((0, LAST_CHARACTER),))]
        if char == "(":
            return [self._group(name)]
        if char in ("<", "!") and char:
            self._fail("references to tokens are not supported: write their text")
        if _NAME.match(self._text, self._at):
            return [Ref(self._number(self._name()))]
        return None

    def _group(self, name: str) -> Item:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"parentheses are nested deeper than {MAX_DEPTH}")
        self._at += 1
        self._skip(_SPACE_AND_LINES)
        choices = self._choices(name, nested=True)
        if self._peek() != ")":
            self._fail("')' is missing")
        self._at += 1
        self._depth -= 1
        return self._rules.add(name, choices)

    def _literal(self) -> list[Item]:
        self._at += 1
        items: list[Item] = []
        while self._peek() != '"':
            items += [Byte(byte, byte) for byte in self._encoded(self._character())]
        self._at += 1
        return items

    def _class(self) -> Item:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges = []
        while self._peek() != "]":
            low = high = self._character()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                high = self._character()
            ranges.append((low, high))
        self._at += 1
        merged = _merged(ranges)
        kept = _complement(merged) if negated else merged
        if not kept:
            self._fail("a class of characters holds none")
        return self._rules.characters(kept)

    def _character(self) -> int:
        char = self._peek()
        if not char:
            self._fail("the text ends inside quotes or brackets")
        if char != "\\":
            self._at += 1
            return ord(char)
        found = _ESCAPE.match(self._text, self._at)
        if found is None:
            self._fail("an escape is unknown")
        self._at = found.end()
        two, four, eight, plain = found.groups()
        if plain:
            return ord(_ESCAPED.get(plain, plain))
        code = int(two or four or eight, 16)
        if code > LAST_CHARACTER:
            self._fail("an escape is beyond the last character of Unicode")
        return code

    def _encoded(self, code: int) -> bytes:
        try:
            return chr(code).encode()
        except UnicodeEncodeError:
            self._fail("a surrogate is no character")

    def _repetition(self, char: str) -> tuple[int, int | None]:
        if char != "{":
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        found = _COUNT.match(self._text, self._at)
        if found is None:
            self._fail("a repetition is not of the form {2}, {2,} or {2,5}")
        self._at = found.end()
        least = int(found[1])
        most = int(found[3]) if found[3] else None if found[2] else least
        if max(least, most or 0) > MAX_REPETITIONS:
            self._fail(f"more than {MAX_REPETITIONS} repetitions")
        if most is not None and most < least:
            self._fail("a repetition ends before it begins")
        return least, most

    def _repeated(self, name: str, part: list[Item], least: int, most: int | None) -> list[Item]:
        """Return `part` so many times: the optional ones as rules that may stop at each."""
        rules, copies = self._rules, max(least, most or 0)
        if len(part) * copies > MAX_ITEMS:
            self._fail("a repetition makes the grammar too large")
        items = part * least
        if most is None:
            rule = rules.reserve(name)
            rules.define(rule, [(*part, Ref(rule)), ()] if part else [()])
            return [*items, Ref(rule)]
        rest: Items = ()
        for _ in range(most - least):
            rest = (rules.add(name, [(*part, *rest), ()]),)
        return [*items, *rest]

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            self._fail("the name of a rule is expected")
        self._at = found.end()
        return found[0]

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = self._rules.reserve(name)
        return self._numbers[name]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, space: re.Pattern[str]) -> None:
        found = space.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _fail(self, problem: str) -> NoReturn:
        line = self._text.count("\n", 0, self._at) + 1
        near = self._text[self._at : self._at + 20]
        raise RequestError(f"the grammar cannot be read: {problem} (line {line}, at {near!r})")


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(each for each in ranges if each[0] <= each[1]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    left, start = [], 0
    for low, high in ranges:
        if start < low:
            left.append((start, low - 1))
        start = high + 1
    return (*left, (start, LAST_CHARACTER)) if start <= LAST_CHARACTER else tuple(left)
