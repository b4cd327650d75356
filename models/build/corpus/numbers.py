"""Counting, sequences, tables and small sums."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from string import ascii_lowercase

from .words import (
    COLORS,
    DAYS,
    MONTHS,
    NUMBER_WORDS,
    PLANETS,
    Turn,
    markdown_table,
    polite,
)

LISTINGS: dict[str, Callable[[list[str]], str]] = {
    "": ", ".join,
    " as a bullet list": lambda items: "\n".join(f"- {item}" for item in items),
    " as a numbered list": lambda items: "\n".join(f"{i}. {t}" for i, t in enumerate(items, 1)),
    ", one per line": "\n".join,
}
SERIES: dict[str, Callable[[int], int]] = {
    "even numbers": lambda i: 2 * i,
    "odd numbers": lambda i: 2 * i - 1,
    "square numbers": lambda i: i * i,
    "powers of two": lambda i: 2**i,
    "cube numbers": lambda i: i**3,
}
KNOWN_LISTS = {
    "days of the week": DAYS,
    "months of the year": MONTHS,
    "colors of the rainbow": COLORS,
    "planets of the solar system": PLANETS,
}
COLUMNS: dict[str, Callable[[int], int]] = {
    "square": lambda i: i * i,
    "cube": lambda i: i**3,
    "double": lambda i: 2 * i,
}
OPERATORS: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "+": ("plus", lambda a, b: a + b),
    "-": ("minus", lambda a, b: a - b),
    "*": ("times", lambda a, b: a * b),
}


def listed(rng: Random, request: str, items: list[str]) -> Turn:
    """Return a request for a list in a named style; commas are the style that has no name."""
    style = rng.choice(("", "", "", *LISTINGS))
    return Turn(polite(rng, request + style), LISTINGS[style](items))


def count_up(rng: Random) -> Turn:
    """Count from one number to another."""
    start = rng.choice((0, 1, 1, 1, 2, 5, 10, rng.randint(1, 80)))
    step = rng.choice((1, 1, 1, 2, 3, 5, 10))
    numbers = [str(start + step * i) for i in range(rng.randint(5, 24))]
    how = "" if step == 1 else rng.choice((f" in steps of {step}", f" by {step}s"))
    request = f"Count from {start} to {numbers[-1]}{how}"
    backwards = ("Now backwards.", ", ".join(reversed(numbers)))
    return Turn(polite(rng, request), ", ".join(numbers), backwards)


def count_down(rng: Random) -> Turn:
    """Count down to zero."""
    start = rng.randint(4, 30)
    return Turn(polite(rng, f"Count down from {start}"), ", ".join(map(str, range(start, -1, -1))))


def count_in_words(rng: Random) -> Turn:
    """Count in words."""
    start = rng.randint(0, 10)
    stop = rng.randint(start + 4, 20)
    words = ", ".join(NUMBER_WORDS[start : stop + 1])
    return Turn(polite(rng, f"Count from {start} to {stop} in words"), words)


def multiples(rng: Random) -> Turn:
    """List multiples of a number."""
    base, count = rng.randint(2, 15), rng.randint(5, 12)
    items = [str(base * i) for i in range(1, count + 1)]
    return listed(rng, f"List the first {count} multiples of {base}", items)


def series(rng: Random) -> Turn:
    """List the start of a known series."""
    name, rule = rng.choice(list(SERIES.items()))
    count = rng.randint(5, 15)
    return listed(
        rng, f"List the first {count} {name}", [str(rule(i)) for i in range(1, count + 1)]
    )


def known_list(rng: Random) -> Turn:
    """List days, months, colors or planets."""
    name, items = rng.choice(list(KNOWN_LISTS.items()))
    return listed(rng, f"{rng.choice(('List', 'Name', 'Write down'))} the {name}", items)


def alphabet(rng: Random) -> Turn:
    """Write the alphabet or a stretch of it."""
    upper = rng.random() < 0.3
    letters = ascii_lowercase.upper() if upper else ascii_lowercase
    if rng.random() < 0.2:
        case = "upper" if upper else "lower"
        return Turn(polite(rng, f"Write the alphabet in {case} case"), " ".join(letters))
    start = rng.randrange(0, 18)
    stop = rng.choice((26, rng.randint(start + 4, 26)))
    request = f"Write the letters from {letters[start]} to {letters[stop - 1]}"
    return Turn(polite(rng, request), " ".join(letters[start:stop]))


def times_table(rng: Random) -> Turn:
    """Make a table of multiples."""
    base, count = rng.randint(2, 12), rng.randint(5, 10)
    rows = [[str(i), f"{base} x {i}", str(base * i)] for i in range(1, count + 1)]
    requests = (
        f"Make a table of the multiples of {base} up to {count}",
        f"Write the {base} times table up to {count}",
    )
    table = markdown_table(["n", "product", "result"], rows)
    return Turn(polite(rng, rng.choice(requests)), table)


def value_table(rng: Random) -> Turn:
    """Make a table of squares, cubes or doubles."""
    header, rule = rng.choice(list(COLUMNS.items()))
    count = rng.randint(4, 10)
    rows = [[str(i), str(rule(i))] for i in range(1, count + 1)]
    request = f"Make a markdown table with the {header} of the numbers from 1 to {count}"
    return Turn(polite(rng, request), markdown_table(["number", header], rows))


SEQUENCES = (
    count_up,
    count_up,
    count_up,
    count_down,
    count_in_words,
    multiples,
    series,
    known_list,
    alphabet,
    times_table,
    value_table,
)


def sequence(rng: Random) -> Turn:
    """Ask for something that goes on by a rule."""
    return rng.choice(SEQUENCES)(rng)


def operands(rng: Random, operator: str) -> tuple[int, int]:
    """Return two numbers in the range the models are meant to master."""
    if operator == "*":
        return rng.randint(1, 10), rng.randint(1, 10)
    left, right = rng.randint(0, 30), rng.randint(0, 30)
    return (max(left, right), min(left, right)) if operator == "-" else (left, right)


def one_sum(rng: Random) -> Turn:
    """Ask for one result, answered in the words of the question."""
    operator, (word, compute) = rng.choice(list(OPERATORS.items()))
    left, right = operands(rng, operator)
    result = compute(left, right)
    more = rng.randint(1, 10)
    follow_up = (f"Add {more} to that.", f"{result} + {more} = {result + more}")
    if rng.random() < 0.3:
        question = f"What is {left} {word} {right}?"
        return Turn(question, f"{left} {word} {right} is {result}.", follow_up)
    asked = f"{left} {operator} {right}"
    question = rng.choice((f"What is {asked}?", asked, f"Compute {asked}.", f"{asked} = ?"))
    return Turn(question, f"{asked} = {result}", follow_up)


def many_sums(rng: Random) -> Turn:
    """Ask for several results at once."""
    asked, solved = [], []
    for _ in range(rng.randint(3, 8)):
        operator, (_, compute) = rng.choice(list(OPERATORS.items()))
        left, right = operands(rng, operator)
        asked.append(f"{left} {operator} {right}")
        solved.append(f"{asked[-1]} = {compute(left, right)}")
    return Turn(f"{rng.choice(('Compute', 'Solve'))}: {', '.join(asked)}", "\n".join(solved))


def neighbour(rng: Random) -> Turn:
    """Ask for the day or month before or after another."""
    kind, items = rng.choice((("day", DAYS), ("month", MONTHS)))
    step, word = rng.choice(((1, "after"), (-1, "before")))
    at = rng.randrange(len(items))
    answer = items[(at + step) % len(items)]
    question = f"Which {kind} comes {word} {items[at]}?"
    return Turn(question, f"The {kind} {word} {items[at]} is {answer}.")


def sort_numbers(rng: Random) -> Turn:
    """Ask to sort a few numbers."""
    numbers = rng.sample(range(1, 60), rng.randint(3, 5))
    falling = rng.random() < 0.4
    word = "descending" if falling else "ascending"
    ordered = ", ".join(map(str, sorted(numbers, reverse=falling)))
    given = ", ".join(map(str, numbers))
    return Turn(f"Sort these numbers in {word} order: {given}", ordered)


def compare(rng: Random) -> Turn:
    """Ask which of two numbers is larger or smaller."""
    left, right = rng.sample(range(1, 100), 2)
    falling = rng.random() < 0.5
    word, result = ("larger", max(left, right)) if falling else ("smaller", min(left, right))
    return Turn(f"Which number is {word}, {left} or {right}?", f"{result} is the {word} number.")


SUMS = (
    one_sum,
    one_sum,
    one_sum,
    many_sums,
    many_sums,
    many_sums,
    neighbour,
    sort_numbers,
    compare,
)


def arithmetic(rng: Random) -> Turn:
    """Ask for a calculation, an order or a comparison."""
    return rng.choice(SUMS)(rng)
