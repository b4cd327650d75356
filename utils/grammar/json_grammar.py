"""Grammars of JSON: any object, or what a JSON schema describes.

A schema is kept in full or refused: no keyword that restricts is passed over in silence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

from utils.errors import RequestError

VALUES = r"""
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member ("," ws member)*)? "}"
member ::= string ws ":" ws value ws
array ::= "[" ws (value ws ("," ws value ws)*)? "]"
string ::= "\"" char* "\""
char ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9A-Fa-f]{4})
number ::= integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?
integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
ws ::= | " " | "\n" [ \t]{0,20}
"""
JSON_OBJECT = "root ::= object\n" + VALUES
MAX_DEPTH = 64

_NOTES = {"$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default"}
_NOTES |= {"examples", "deprecated", "readOnly", "writeOnly", "format"}
_KEYWORDS: dict[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength"}),
    "number": frozenset(),
    "integer": frozenset(),
    "boolean": frozenset(),
    "null": frozenset(),
}
_PLAIN = {"boolean": '("true" | "false")', "null": '"null"'}


def grammar_of_schema(text: str) -> str:
    """Return GBNF for a JSON schema; raises `RequestError` naming what cannot be kept.

    Properties come in the order of the schema, and no others. `oneOf` is taken as `anyOf`.
    """
    try:
        schema = json.loads(text)
        return _Schema(schema).grammar()
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the JSON schema is no JSON: {error}") from error


class _Schema:
    """Makes one rule of each part that needs one."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._rules: list[str] = []
        self._by_reference: dict[str, str] = {}

    def grammar(self) -> str:
        root = self._visit(self._schema, "#", 0)
        return "\n".join([f"root ::= {root}", *self._rules]) + VALUES

    def _visit(self, schema: Any, place: str, depth: int) -> str:
        """Return what stands for a part of the schema, in GBNF."""
        if depth > MAX_DEPTH:
            raise RequestError(f"the JSON schema is nested deeper than {MAX_DEPTH}: flatten it")
        if schema is True:
            return "value"
        if not isinstance(schema, Mapping):
            raise RequestError(f"the JSON schema is wrong at {place}: expected an object")
        if not set(schema) - _NOTES:
            return "value"
        for keyword in ("$ref", "const", "enum", "anyOf", "oneOf", "allOf"):
            if keyword in schema:
                self._only(schema, place, {keyword, "type"} & set(schema))
                return self._special(keyword, schema[keyword], place, depth)
        kinds = schema.get("type", self._implied(schema))
        if not isinstance(kinds, list):
            return self._typed(schema, kinds, place, depth)
        return self._either([self._typed(schema, kind, place, depth) for kind in kinds], place)

    def _special(self, keyword: str, value: Any, place: str, depth: int) -> str:
        if keyword == "$ref":
            return self._reference(value, place, depth)
        if keyword == "const":
            return _literal(value)
        if not isinstance(value, list) or not value or (keyword == "allOf" and len(value) > 1):
            raise RequestError(f"the JSON schema is wrong at {place}: {keyword} cannot be kept")
        if keyword == "enum":
            return self._either([_literal(each) for each in value], place)
        return self._either([self._visit(each, place, depth + 1) for each in value], place)

    def _typed(self, schema: Mapping[str, Any], kind: Any, place: str, depth: int) -> str:
        if not isinstance(kind, str) or kind not in _KEYWORDS:
            self._only(schema, place, {"type"}.union(*_KEYWORDS.values()))
            raise RequestError(f"the JSON schema is wrong at {place}: no such type: {kind!r}")
        own, kinds = _KEYWORDS[kind], schema.get("type")
        # Where there is a choice of types, what is said of one says nothing of the others.
        others = [_KEYWORDS.get(str(each), ()) for each in kinds] if isinstance(kinds, list) else []
        self._only(schema, place, own.union({"type"}, *others))
        if kind == "object":
            return self._object(schema, place, depth)
        if kind == "array":
            return self._array(schema, place, depth)
        if kind == "string" and own & set(schema):
            return rf'"\"" char{self._times(schema, place, "Length", 0)} "\""'
        return _PLAIN.get(kind, kind)

    def _object(self, schema: Mapping[str, Any], place: str, depth: int) -> str:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        others = schema.get("additionalProperties", not properties)
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise RequestError(f"the JSON schema is wrong at {place}: properties or required")
        if missing := [name for name in required if name not in properties]:
            raise RequestError(f"the JSON schema is wrong at {place}: no property {missing[0]!r}")
        if not properties:
            if others is False:
                return '"{" ws "}"'
            value = self._visit(others, f"{place}/additionalProperties", depth + 1)
            member = self._rule(f'string ws ":" ws {value} ws')
            return f'"{{" ws ({member} ("," ws {member})*)? "}}"'
        # A property that is listed must not come again among the others: so there are none.
        first = later = '""'
        for name, part in reversed(list(properties.items())):
            value = self._visit(part, f"{place}/properties/{name}", depth + 1)
            member = self._rule(f'{_literal(name)} ws ":" ws {value} ws')
            rest = later
            without = ("", "") if name in required else (f" | {first}", f" | {later}")
            first = self._rule(f"{member} {rest}{without[0]}")
            later = self._rule(f'"," ws {member} {rest}{without[1]}')
        return f'"{{" ws {first} "}}"'

    def _array(self, schema: Mapping[str, Any], place: str, depth: int) -> str:
        item = self._rule(self._visit(schema.get("items", True), f"{place}/items", depth + 1))
        least = schema.get("minItems", 0)
        if schema.get("maxItems") == 0:
            return '"[" ws "]"'
        more = self._times(schema, place, "Items", 1)
        items = f'{item} ws ("," ws {item} ws){more}'
        return f'"[" ws {items} "]"' if least else f'"[" ws ({items})? "]"'

    def _times(self, schema: Mapping[str, Any], place: str, what: str, less: int) -> str:
        """Return how often something is repeated, `less` times fewer than the schema says."""
        least, most = schema.get(f"min{what}", 0), schema.get(f"max{what}")
        for count in (least, 0 if most is None else most):
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise RequestError(f"the JSON schema is wrong at {place}: {count!r} is no count")
        upper = "" if most is None else max(0, most - less)
        return f"{{{max(0, least - less)},{upper}}}"

    def _reference(self, reference: Any, place: str, depth: int) -> str:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise RequestError(f"the JSON schema is wrong at {place}: only references to itself")
        if reference not in self._by_reference:
            name = self._by_reference[reference] = f"ref{len(self._by_reference)}"
            target = self._schema
            for part in reference.split("/")[1:]:
                key = part.replace("~1", "/").replace("~0", "~")
                if not isinstance(target, Mapping) or key not in target:
                    raise RequestError(f"the JSON schema refers to nothing: {reference!r}")
                target = target[key]
            self._rules.append(f"{name} ::= {self._visit(target, reference, depth + 1)}")
        return self._by_reference[reference]

    def _either(self, choices: Sequence[str], place: str) -> str:
        if not choices:
            raise RequestError(f"the JSON schema is wrong at {place}: nothing is allowed")
        return self._rule(" | ".join(choices))

    def _rule(self, definition: str) -> str:
        name = f"part{len(self._rules)}"
        self._rules.append(f"{name} ::= {definition}")
        return name

    @staticmethod
    def _implied(schema: Mapping[str, Any]) -> str | None:
        """Return the type that a schema speaks of without naming it."""
        kinds = [kind for kind, words in _KEYWORDS.items() if words & set(schema)]
        return kinds[0] if len(kinds) == 1 else None

    @staticmethod
    def _only(schema: Mapping[str, Any], place: str, known: Set[str]) -> None:
        if unknown := sorted(set(schema) - known - _NOTES):
            raise RequestError(
                f"the JSON schema cannot be kept: {unknown[0]!r} at {place} is not supported; "
                "leave it out"
            )


def _literal(value: Any) -> str:
    """Return a JSON value as text that stands for itself in GBNF."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
