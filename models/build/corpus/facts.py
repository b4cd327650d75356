"""Questions about SpecChat and about speculative decoding, read from ``facts.txt``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .words import Turn

NOUN_QUESTIONS = (
    "What is {}?",
    "Explain {}.",
    "Can you explain {}?",
    "Tell me about {}.",
    "What do you know about {}?",
    "I want to understand {}.",
    "Please explain {} in simple words.",
    "What can you tell me about {}?",
)
TASK_QUESTIONS = (
    "How do I {}?",
    "How can I {}?",
    "Show me how to {}.",
    "I want to {}.",
    "Please help me to {}.",
    "Can you explain how to {}?",
    "What is the best way to {}?",
    "What do I have to do to {}?",
)
GREETINGS = ("Hi! ", "Hello, ", "Hey, ", "Quick question: ", "One more thing: ", "Please tell me: ")
WISHES = (" Please explain.", " Keep it short.", " I am new to this.", " Thanks!")
APP = re.compile(r"\b(?:the|this) app\b")
STAYS_UPPER = re.compile(r"I\b|[A-Z]{2}|N-gram|Medusa|SpecChat|Streamlit|Ollama")


@dataclass
class Fact:
    """The questions that one answer fits; the last one written is kept for the held-out split."""

    questions: list[str]
    heldout: str
    answers: list[str]


def load_facts(path: Path) -> list[Fact]:
    """Parse ``facts.txt``: a line that starts with no key continues the answer above it."""
    facts: list[Fact] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        key, text = line[:2], line[3:]
        if line.startswith("# "):
            continue
        if key in ("n:", "h:"):
            forms = NOUN_QUESTIONS if key == "n:" else TASK_QUESTIONS
            facts.append(Fact([form.format(text) for form in forms], "", []))
        elif key == "q:":
            facts[-1].questions.append(text)
        elif key == "a:":
            facts[-1].answers.append(text)
        elif facts and facts[-1].answers:
            facts[-1].answers[-1] += "\n" + line
    for fact in facts:
        fact.heldout = fact.questions.pop()
        fact.answers = [answer.strip() for answer in fact.answers]
    return facts


FACTS = load_facts(Path(__file__).with_name("facts.txt"))


def phrase(rng: Random, question: str) -> str:
    """Return a small variation of a question."""
    if rng.random() < 0.4:
        question = APP.sub("SpecChat", question)
    keeps = STAYS_UPPER.match(question)
    lowered = question if keeps else question[0].lower() + question[1:]
    roll = rng.random()
    if roll < 0.66:
        return question
    if roll < 0.76:
        return rng.choice(GREETINGS) + (question if rng.random() < 0.3 else lowered)
    if roll < 0.86:
        return lowered
    if roll < 0.93:
        return lowered.rstrip("?.")
    return question.rstrip(".") + rng.choice(WISHES)


def about_app(rng: Random) -> Turn:
    """Ask about a fact in one of the training questions."""
    fact = rng.choice(FACTS)
    return Turn(phrase(rng, rng.choice(fact.questions)), rng.choice(fact.answers))


def about_app_anew(rng: Random) -> Turn:
    """Ask about a fact in the question that training never uses."""
    fact = rng.choice(FACTS)
    return Turn(fact.heldout, rng.choice(fact.answers))
