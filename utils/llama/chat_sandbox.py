"""A Jinja environment for templates nobody vouches for: bounded in time, memory and reach.

Jinja's sandbox keeps a template from Python's internals, but lets it loop for ever or fill the
memory. Here every loop step, call and operator looks at a clock, and every text or container is
weighed when it is made. This needs no signals, so it holds on any thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import wraps
from time import monotonic
from typing import Any

from jinja2 import Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

LARGEST_ARGUMENT = 10_000
WRITTEN_TIMES = 8
_LARGEST_NUMBER_BITS = 4096
_FILTERS = (
    "abs attr capitalize count d default dictsort e escape first float format groupby indent int"
    " items join last length list lower map max min reject rejectattr replace reverse safe select"
    " selectattr sort string title tojson trim truncate unique upper wordcount"
)
_GLOBALS = ("range", "dict", "namespace")
_WIDE_FORMAT = re.compile(r"%[^a-zA-Z%]*(\d{4}|\*)")


class GenerationTag(Extension):
    """Hugging Face's `{% generation %}` marks training text; its content is shown as it is."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the content of the block."""
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Compiles templates so that they stay within a budget; one render at a time."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # nothing of a template may run while it is compiled
            finalize=_finalize,
            extensions=["jinja2.ext.loopcontrols", GenerationTag],
        )
        known = {**self.filters, "tojson": _to_json}
        self.filters = {name: self._guarded(known[name]) for name in _FILTERS.split()}
        self.globals = {name: self.globals[name] for name in _GLOBALS}
        self.globals |= {"raise_exception": _raise, "strftime_now": _strftime_now}
        self._deadline, self._limit, self._writable = 0.0, 0, 0

    def allow(self, *, seconds: float, characters: int) -> None:
        """Set the budget of the next render: `characters` for any text it makes."""
        self._deadline, self._limit = monotonic() + seconds, characters
        self._writable = WRITTEN_TIMES * characters

    def check_time(self) -> None:
        """Raise when the time is over."""
        if monotonic() > self._deadline:
            raise SecurityError("it takes too long")

    def watched(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items of a loop while there is time."""
        for item in items:
            self.check_time()
            yield item

    def joined(self, parts: list[Any]) -> str:
        """Return what `~` makes of its operands."""
        self.weigh(parts)
        return "".join(map(str, parts))

    def weighed(self, value: Any) -> Any:
        """Return a container that the template made, if it is not too large."""
        self.weigh(value)
        return value

    def write(self, value: Any) -> None:
        """Account for text written to the output or to a variable."""
        self._writable -= self.weigh(value)
        if self._writable < 0:
            raise SecurityError("it writes too much text")

    def weigh(self, *values: Any) -> int:
        """Return about how long the values are when written; raise when longer than allowed."""
        self.check_time()
        weight, stack = 0, list(values)
        while stack:
            value = stack.pop()
            weight += 1
            if isinstance(value, str | bytes):
                weight += len(value)
            elif isinstance(value, dict):
                stack += [*value.keys(), *value.values()]
            elif isinstance(value, list | tuple | set | frozenset):
                stack += value
            elif not isinstance(value, int | float | range | Undefined | None):
                raise SecurityError(f"it shows a {type(value).__name__}")
            if weight + len(stack) > self._limit:
                raise SecurityError("it makes too much text")
        return weight

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate, unless the result is too large."""
        self.check_time()
        if operator == "%" and isinstance(left, str):
            self._check_format(left, right)
        elif operator == "**":
            _check_bits(_bits(left) * abs(right if isinstance(right, int) else 1))
        elif operator == "*":
            _check_bits(_bits(left) + _bits(right))
            for many, few in ((left, right), (right, left)):
                if isinstance(few, int) and hasattr(many, "__len__"):
                    self._check_length(len(many) * few)
        result = super().call_binop(context, operator, left, right)
        if hasattr(result, "__len__"):
            self.weigh(result)
        return result

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls, with arguments of a sane size."""
        self.check_time()
        for argument in (*args, *kwargs.values()):
            if isinstance(argument, int) and abs(argument) > LARGEST_ARGUMENT:
                raise SecurityError(f"it calls something with the number {argument:.3g}")
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            self._check_text_method(owner, function.__name__, args)
        result = super().call(context, function, *args, **kwargs)
        if isinstance(result, str | list | tuple | dict):
            self.weigh(result)
        return result

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Refuse `str.format`, whose result cannot be bounded beforehand."""
        if super().wrap_str_format(value) is not None:
            raise SecurityError("it uses str.format")
        return None

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = _Guard().visit(super()._parse(source, name, filename))
        assert isinstance(tree, nodes.Template)  # noqa: S101 - visiting keeps the root
        return tree

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        takes_context = hasattr(function, "jinja_pass_arg")

        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            context, given = args[:takes_context], args[takes_context:]
            given = tuple(list(v) if isinstance(v, Iterator) else v for v in given)
            self._check_filter(function.__name__, [*given, *kwargs.values()])
            result = function(*context, *given, **kwargs)
            if isinstance(result, str | list):
                self.weigh(result)
            return result

        return guarded

    def _check_filter(self, name: str, given: list[Any]) -> None:
        self.weigh(*given)
        if any(isinstance(n, int) and abs(n) > LARGEST_ARGUMENT for n in given[1:]):
            raise SecurityError(f"it uses the filter {name} with a huge number")
        texts = [str(value) for value in given[1:] if not isinstance(value, int)]
        if name == "do_replace":
            # Given by name, the two may come in any order.
            self._check_text_method(str(given[0]), "replace", tuple(texts))
            self._check_text_method(str(given[0]), "replace", tuple(reversed(texts)))
        elif name == "do_join" and hasattr(given[0], "__len__"):
            self._check_length(len(given[0]) * max(map(len, texts), default=0))
        elif name == "do_format":
            self._check_format(str(given[0]), given[1:])
        elif name == "do_indent" and given[1:] and not isinstance(given[1], bool):
            width = given[1] if isinstance(given[1], int) else len(str(given[1]))
            self._check_length(width * (1 + str(given[0]).count("\n")))

    def _check_text_method(self, text: str, name: str, args: tuple[Any, ...]) -> None:
        if name == "replace" and len(args) > 1:
            old, new = str(args[0]), str(args[1])
            self._check_length(len(text) + (text.count(old) * len(new)))
        elif name == "join" and args:
            if isinstance(args[0], Iterator):
                raise SecurityError("it joins what has no length")
            self.weigh(args[0])
            self._check_length(len(text) * len(args[0]))
        elif name == "expandtabs":
            self._check_length(text.count("\t") * (int(args[0]) if args else 8))
        elif name in ("format", "format_map"):
            raise SecurityError("it uses str.format")

    def _check_format(self, text: str, values: Any) -> None:
        self.weigh(values)
        if _WIDE_FORMAT.search(text):
            raise SecurityError("it formats something very wide")

    def _check_length(self, length: int) -> None:
        if length > self._limit:
            raise SecurityError("it makes too much text")


class _Guard(NodeTransformer):
    """Puts loops, `~`, containers and fixed text under the environment's watch."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - named by Jinja
        self.generic_visit(node)
        node.iter = _ask("watched", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _ask("joined", nodes.List(node.nodes, lineno=node.lineno))

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _ask("weighed", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _ask("weighed", node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return node if node.ctx == "store" else _ask("weighed", node)

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:  # noqa: N802
        return nodes.Const(node.data, lineno=node.lineno)


def _ask(method: str, argument: nodes.Node) -> nodes.Expr:
    line = argument.lineno
    function = nodes.EnvironmentAttribute(method, lineno=line)
    return nodes.Call(function, [argument], [], None, None, lineno=line)


@pass_context
def _finalize(context: Context, value: Any) -> Any:
    environment = context.environment
    if isinstance(environment, ChatEnvironment):
        environment.write(value)
    return value


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _check_bits(bits: int) -> None:
    if bits > _LARGEST_NUMBER_BITS:
        raise SecurityError("it calculates with huge numbers")


def _raise(message: str) -> None:
    raise ValueError(message)


def _strftime_now(pattern: str) -> str:
    if len(pattern) > 64 or re.search(r"\d", pattern):
        raise SecurityError("it asks for an unusual date")
    return datetime.now().astimezone().strftime(pattern)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - as templates call it
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    if (indent or 0) > 16:
        raise SecurityError("it indents too much")
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
