"""Small Python functions, read from ``functions.txt``, written and edited."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .words import NOUNS, VERBS, Turn, code_block

PAIRS: dict[str, tuple[tuple[str, str], ...]] = {
    "num": (("a", "b"), ("x", "y"), ("first", "second"), ("left", "right")),
    "intpair": (("a", "b"), ("x", "y"), ("first", "second"), ("m", "n")),
    "strpair": (("first", "second"), ("a", "b"), ("text", "part"), ("s", "t")),
}
PARAMETERS: dict[str, tuple[str, ...]] = {
    "one": ("x", "value", "number"),
    "int": ("n", "number", "limit", "k"),
    "list": ("numbers", "values", "items", "data"),
    "other": ("other", "others", "second_list"),
    "words": ("words", "parts"),
    "str": ("text", "string", "s", "word"),
    "dict": ("data", "mapping", "table"),
    "dictother": ("other", "extra"),
    "path": ("path", "filename"),
    "name": ("name", "person"),
    "target": ("target", "wanted"),
    "accepted": ("accepted",),
    "drafted": ("drafted",),
    "speed": ("speed",),
    "baseline": ("baseline",),
    "tokens": ("tokens",),
    "seconds": ("seconds",),
}
TYPES = {
    "intpair": "int",
    "strpair": "str",
    "int": "int",
    "list": "list",
    "other": "list",
    "words": "list[str]",
    "str": "str",
    "dict": "dict",
    "dictother": "dict",
    "path": "str",
    "name": "str",
}


@dataclass(frozen=True)
class Task:
    """What a function does, the names it may have and its body with ``$1`` for parameters."""

    names: list[str]
    does: str
    kinds: list[str]
    returns: str
    body: list[str]


@dataclass(frozen=True)
class Function:
    """A task written down with chosen names."""

    task: Task
    name: str
    arguments: list[str]
    source: str


def load_tasks(path: Path) -> list[Task]:
    """Parse ``functions.txt``."""
    tasks: list[Task] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if re.match(r"(\w+ )+\| ", line):
            names, does, signature = line.split(" | ", 2)
            kinds, returns = signature.split(" -> ")
            tasks.append(Task(names.split(), does, kinds.split(), returns, []))
        else:
            tasks[-1].body.append(line)
    return tasks


TASKS = load_tasks(Path(__file__).with_name("functions.txt"))


def documented(does: str) -> str:
    """Return the docstring form: ``adds two numbers`` becomes ``Add two numbers``."""
    verb, rest = does.split(" ", 1)
    stem = verb[:-3] + "y" if verb.endswith("ies") else verb[:-1]
    return f"{stem.capitalize()} {rest}"


def choose_arguments(rng: Random, task: Task) -> list[str]:
    """Return parameter names that differ from each other."""
    if task.kinds[0] in PAIRS:
        return list(rng.choice(PAIRS[task.kinds[0]]))[: len(task.kinds)]
    arguments = [rng.choice(PARAMETERS[kind]) for kind in task.kinds]
    return arguments if len(set(arguments)) == len(arguments) else ["first", "second"]


def write_function(rng: Random, task: Task) -> Function:
    """Return a task as source with random names, types and docstring."""
    name, arguments = rng.choice(task.names), choose_arguments(rng, task)
    typed = rng.random() < 0.5
    kinds = [TYPES.get(kind, "float") for kind in task.kinds]
    shown = [f"{a}: {t}" if typed else a for a, t in zip(arguments, kinds, strict=True)]
    lines = [f"def {name}({', '.join(shown)})" + (f" -> {task.returns}:" if typed else ":")]
    if rng.random() < 0.5:
        lines.append(f'    """{documented(task.does)}."""')
    for line in task.body:
        for position, argument in enumerate(arguments, 1):
            line = line.replace(f"${position}", argument)
        lines.append("    " + line.replace(f"{task.names[0]}(", f"{name}("))
    return Function(task, name, arguments, "\n".join(lines))


def code_question(rng: Random, function: Function) -> str:
    """Return a request for the function."""
    does, name = function.task.does, function.name
    verb = documented(does)
    verb = verb[0].lower() + verb[1:]
    return rng.choice(
        (
            f"Write a Python function that {does}.",
            f"Write a function that {does}.",
            f"Write a Python function called {name} that {does}.",
            f"Can you write a Python function that {does}?",
            f"I need a function that {does}.",
            f"Please write Python code that {does}.",
            f"How do I {verb} in Python?",
            f"Show me a Python function that {does}.",
            f"Give me a function named `{name}` that {does}.",
            f"Python function: {does}",
        )
    )


def write_code(rng: Random) -> Turn:
    """Ask for a small function."""
    function = write_function(rng, rng.choice(TASKS))
    does, name, arguments = function.task.does, function.name, function.arguments
    before = rng.choice(
        (
            f"Here is a Python function that {does}:",
            f"This function {does}:",
            f"You can use the function `{name}`:",
            f"Here is a function called `{name}` that {does}:",
        )
    )
    listed = " and ".join(f"`{a}`" for a in arguments)
    result = "nothing" if function.task.returns == "None" else "the result"
    after = rng.choice(
        (
            f"Call it with `{name}({', '.join(arguments)})`.",
            f"It takes {listed} and {does}.",
            f"The function takes {listed} and returns {result}.",
        )
    )
    answer = f"{before}\n\n{code_block(function.source)}\n\n{after}"
    return Turn(code_question(rng, function), answer)


def rename_function(rng: Random, function: Function) -> tuple[str, str]:
    """Return a request to rename the function and the renamed source."""
    name = function.name
    other = rng.choice([n for t in rng.sample(TASKS, 3) for n in t.names if n != name])
    noun = rng.choice(NOUNS)
    new = rng.choice((other, f"my_{name}", f"{name}_{noun}", f"{rng.choice(VERBS)[:-1]}_{noun}"))
    request = rng.choice(
        (f"Rename the function to `{new}`:", f"Change the name of this function to {new}:")
    )
    return request, re.sub(rf"\b{name}\b(?=\()", new, function.source)


def rename_variable(rng: Random, function: Function) -> tuple[str, str]:
    """Return a request to rename a parameter and the renamed source."""
    old = rng.choice(function.arguments)
    candidates = (*NOUNS, "x1", "value_in", "amount", "entry")
    new = rng.choice([name for name in candidates if name not in function.source])
    request = rng.choice(
        (f"Rename the variable `{old}` to `{new}`:", f"Rename `{old}` to `{new}` in this code:")
    )
    header, *rest = function.source.split("\n")
    body = [line if '"""' in line else re.sub(rf"\b{old}\b", new, line) for line in rest]
    return request, "\n".join([re.sub(rf"\b{old}\b(?!\()", new, header), *body])


def edit_code(rng: Random) -> Turn:
    """Ask to rename, document or repeat a function."""
    function = write_function(rng, rng.choice(TASKS))
    source = function.source
    kind = rng.randrange(4)
    if kind == 0:
        request, result = rename_function(rng, function)
    elif kind == 1:
        request, result = rename_variable(rng, function)
    elif kind == 2:
        request = rng.choice(("Add a docstring to this function:", "Please add a docstring:"))
        lines = [line for line in source.split("\n") if '"""' not in line]
        source = "\n".join(lines)
        lines.insert(1, f'    """{documented(function.task.does)}."""')
        result = "\n".join(lines)
    else:
        request = rng.choice(("Repeat this code:", "Copy this code:", "Show me this code again:"))
        result = source
    return Turn(f"{request}\n\n{code_block(source)}", code_block(result))
