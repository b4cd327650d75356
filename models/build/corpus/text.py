"""Copying, editing and reading text that the question gives."""

from __future__ import annotations

import re
from random import Random
from string import ascii_lowercase

from .words import (
    ADJECTIVES,
    CITIES,
    NAMES,
    NOUNS,
    NUMBER_WORDS,
    PLACES,
    TIMES,
    VERBS,
    Turn,
    paragraph,
    sentence,
)

SEPARATORS = {"separated by commas": ", ", "separated by spaces": " ", "one per line": "\n"}
COPY_REQUESTS = (
    "Repeat this text:",
    "Repeat after me:",
    "Copy this text exactly:",
    "Say this again:",
)
ITEM_REQUESTS = (
    "Repeat this:",
    "Repeat:",
    "Copy this exactly:",
    "Say this again:",
    "Write this again:",
    "Echo:",
)
ORDINALS = ("first", "second", "third", "fourth", "fifth")


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [part.strip() for part in re.findall(r"[^.]+\.", text)]


def copy_text(rng: Random) -> Turn:
    """Ask to repeat a text."""
    text, request = paragraph(rng), rng.choice(COPY_REQUESTS)
    return Turn(request + rng.choice((" ", "\n\n")) + text, text)


def replace_word(rng: Random) -> Turn:
    """Ask to replace a word everywhere."""
    text = paragraph(rng)
    old = rng.choice([word for word in re.findall(r"[A-Za-z]+", text) if len(word) > 3])
    new = rng.choice([word for word in NOUNS + ADJECTIVES + NAMES if word != old])
    request = rng.choice(
        (
            f'Replace "{old}" with "{new}" in this text:',
            f'Replace the word "{old}" by "{new}":',
            f'Change every "{old}" to "{new}":',
        )
    )
    return Turn(f"{request}\n\n{text}", re.sub(rf"\b{old}\b", new, text))


def list_sentences(rng: Random) -> Turn:
    """Ask to turn sentences into a list."""
    text = paragraph(rng)
    lines = sentences_of(text)
    bullets = "\n".join(f"- {line}" for line in lines)
    numbered = "\n".join(f"{i}. {line}" for i, line in enumerate(lines, 1))
    style, result = rng.choice((("a bullet list", bullets), ("a numbered list", numbered)))
    return Turn(f"Turn these sentences into {style}:\n\n{text}", result)


def pick_sentence(rng: Random) -> Turn:
    """Ask for the first or last sentence."""
    text = paragraph(rng)
    which, index = rng.choice((("first", 0), ("last", -1)))
    question = f"What is the {which} sentence of this text?\n\n{text}"
    return Turn(question, sentences_of(text)[index])


def add_sentence(rng: Random) -> Turn:
    """Ask to add a sentence at one end."""
    text, added = paragraph(rng), sentence(rng)
    at_end, at_start = ("end", f"{text} {added}"), ("beginning", f"{added} {text}")
    where, result = rng.choice((at_end, at_start))
    return Turn(f'Add the sentence "{added}" at the {where} of this text:\n\n{text}', result)


EDITS = (
    copy_text,
    copy_text,
    replace_word,
    replace_word,
    list_sentences,
    pick_sentence,
    add_sentence,
)


def edit_text(rng: Random) -> Turn:
    """Ask to repeat or change a text."""
    return rng.choice(EDITS)(rng)


def change_case(rng: Random) -> Turn:
    """Ask for a text in capitals or in small letters."""
    words = [rng.choice(rng.choice((NOUNS, ADJECTIVES, NAMES, CITIES, VERBS))) for _ in range(6)]
    text = rng.choice((sentence(rng), " ".join(words[: rng.randint(1, 6)])))
    upper = rng.random() < 0.6
    case = "upper" if upper else "lower"
    if not upper and rng.random() < 0.5:
        text = text.upper()
    request = rng.choice(
        (f"Write this in {case} case:", f"Turn this into {case} case:", f"Make this {case} case:")
    )
    return Turn(f"{request} {text}", text.upper() if upper else text.lower())


def random_item(rng: Random) -> str:
    """Return an item that can only be copied, not guessed."""
    return rng.choice(
        (
            rng.choice(NOUNS),
            rng.choice(ADJECTIVES),
            rng.choice(NAMES),
            rng.choice(CITIES),
            str(rng.randint(0, 9999)),
            "".join(rng.choices(ascii_lowercase, k=rng.randint(2, 5))),
            f"{rng.choice(ADJECTIVES)}_{rng.choice(NOUNS)}",
            f"{rng.choice(NOUNS)}={rng.randint(0, 99)}",
        )
    )


def copy_items(rng: Random) -> Turn:
    """Ask to repeat a list of items, perhaps with other separators."""
    items = [random_item(rng) for _ in range(rng.choice((3, 5, 8, 12, 18, 26)))]
    text = rng.choice(list(SEPARATORS.values())).join(items)
    style, wanted = rng.choice(list(SEPARATORS.items()))
    again = (f"Now {style}.", wanted.join(items))
    if rng.random() < 0.6:
        return Turn(f"{rng.choice(ITEM_REQUESTS)} {text}", text, again)
    return Turn(f"Write these items {style}: {text}", wanted.join(items))


def pick_item(rng: Random) -> Turn:
    """Ask for one item of a list, for its length or for its reverse."""
    items = rng.sample(rng.choice((NOUNS, ADJECTIVES, NAMES, CITIES)), rng.randint(3, 7))
    text = ", ".join(items)
    kind = rng.randrange(4)
    if kind == 0:
        reverse = rng.choice(("Reverse this list:", "Write these items in reverse order:"))
        return Turn(f"{reverse} {text}", ", ".join(reversed(items)))
    if kind == 1:
        return Turn(f"How many items are in this list: {text}?", f"{NUMBER_WORDS[len(items)]}")
    at = rng.randrange(min(len(items), len(ORDINALS)))
    which, answer = rng.choice(((ORDINALS[at], items[at]), ("last", items[-1])))
    return Turn(f"What is the {which} item of this list: {text}?", answer)


def who_does_what(rng: Random) -> Turn:
    """Ask about one of several statements."""
    count = rng.randint(2, 4)
    names, nouns = rng.sample(NAMES, count), rng.sample(NOUNS, count)
    places, times = rng.sample(PLACES, count), rng.sample(TIMES, count)
    verbs = rng.sample(VERBS, count)
    facts = list(zip(names, verbs, nouns, places, times, strict=True))
    text = " ".join(f"{n} {v} the {o} {p} {t}." for n, v, o, p, t in facts)
    name, verb, noun, place, time = rng.choice(facts)
    question, answer = rng.choice(
        (
            (f"Who {verb} the {noun}?", f"{name} {verb} the {noun}."),
            (f"Where is {name}?", f"{name} is {place}."),
            (f"What does {name} do?", f"{name} {verb} the {noun} {place} {time}."),
            (f"Who is {place}?", f"{name} is {place}."),
        )
    )
    form = rng.choice(("{text} {question}", "{text}\n\n{question}", "{question}\n\n{text}"))
    return Turn(form.format(text=text, question=question), answer)


def read_text(rng: Random) -> Turn:
    """Ask about a short text or list."""
    return rng.choice((pick_item, who_does_what))(rng)
