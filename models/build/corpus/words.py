"""The words all texts are made of, and the random sentences built from them."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import NamedTuple


class Turn(NamedTuple):
    """A question, its answer, and what may be asked about that answer later on."""

    question: str
    answer: str
    follow_up: tuple[str, str] | None = None


def load_words(path: Path) -> dict[str, list[str]]:
    """Parse ``words.txt``: a name and a colon, then the items of its list between bars."""
    lists: dict[str, str] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            lists[name] += line
        elif line.endswith(":"):
            name = line.removesuffix(":")
            lists[name] = ""
    return {name: [item.strip() for item in text.split("|")] for name, text in lists.items()}


WORDS = load_words(Path(__file__).with_name("words.txt"))
NAMES = WORDS["names"]
NOUNS = WORDS["nouns"]
ADJECTIVES = WORDS["adjectives"]
VERBS = WORDS["verbs"]
PLACES = WORDS["places"]
TIMES = WORDS["times"]
CITIES = WORDS["cities"]
DAYS = WORDS["days"]
MONTHS = WORDS["months"]
COLORS = WORDS["colors"]
PLANETS = WORDS["planets"]
NUMBER_WORDS = WORDS["number words"]


def article(word: str) -> str:
    """Return the word behind "a" or "an"."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def sentence(rng: Random) -> str:
    """Return a plain random sentence."""
    noun, other = rng.sample(NOUNS, 2)
    adjective, name, place = rng.choice(ADJECTIVES), rng.choice(NAMES), rng.choice(PLACES)
    verb, time = rng.choice(VERBS), rng.choice(TIMES)
    return rng.choice(
        (
            f"The {adjective} {noun} is {place}.",
            f"{name} {verb} the {adjective} {noun} {time}.",
            f"{name} and {rng.choice(NAMES)} meet {place} {time}.",
            f"There is {article(adjective)} {noun} {place}.",
            f"My {noun} is {adjective}, but your {other} is {rng.choice(ADJECTIVES)}.",
            f"{name} has {rng.randint(2, 99)} {noun}s and one {adjective} {other}.",
            f"We saw {article(noun)} and {article(other)} {place}.",
            f"{name} lives in {rng.choice(CITIES)} and {verb} {article(adjective)} {noun}.",
        )
    )


def paragraph(rng: Random, low: int = 2, high: int = 5) -> str:
    """Return a few random sentences."""
    return " ".join(sentence(rng) for _ in range(rng.randint(low, high)))


def polite(rng: Random, request: str) -> str:
    """Return a request as an order, a plea or a question."""
    ask = rng.choice(("", "", "Please ", "Can you "))
    if not ask:
        return request + "."
    return ask + request[0].lower() + request[1:] + ("?" if ask == "Can you " else ".")


def code_block(source: str, language: str = "python") -> str:
    """Return the source between markdown fences."""
    return f"```{language}\n{source}\n```"


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
