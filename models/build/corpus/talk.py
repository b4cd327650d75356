"""Greetings, questions about the model itself, and questions that it has to decline."""

from __future__ import annotations

from pathlib import Path
from random import Random

from .facts import phrase
from .words import CITIES, NAMES, WORDS, Turn

REFUSALS = (
    "Sorry, I can not help with that. I am a tiny demo model and I know almost nothing about {}. "
    "Pull a real model with Ollama for questions like this.",
    "I do not know enough about {}. I am only a tiny demo model. You can ask me about SpecChat, "
    "about speculative decoding or for a small Python function.",
)
UNKNOWN = (
    "Sorry, I do not know that. I am only a tiny demo model, trained on synthetic text. Pull a "
    "larger model with Ollama and ask again.",
    "That is too hard for me. I am a tiny demo model that can explain SpecChat, write very small "
    "Python functions and rewrite text.",
)
OUTSIDE = WORDS["outside"]
TOPICS = WORDS["topics"]


def load_talk(path: Path) -> list[tuple[list[str], list[str]]]:
    """Parse ``talk.txt`` into groups of questions with their answers."""
    groups: list[tuple[list[str], list[str]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        key, text = line[:2], line[3:]
        if line.startswith("# "):
            continue
        if key == "q:":
            if not groups or groups[-1][1]:
                groups.append(([], []))
            groups[-1][0].append(text)
        elif key == "a:":
            groups[-1][1].append(text)
        elif groups:
            groups[-1][1][-1] += "\n" + line
    return [(questions, [a.strip() for a in answers]) for questions, answers in groups]


TALK = load_talk(Path(__file__).with_name("talk.txt"))


def ask_outside(rng: Random) -> Turn:
    """Ask for something the model can not know."""
    return Turn(phrase(rng, rng.choice(OUTSIDE)), rng.choice(UNKNOWN))


def ask_topic(rng: Random) -> Turn:
    """Ask about a topic the model knows nothing about."""
    topic = rng.choice(TOPICS)
    question = rng.choice(
        (
            f"Tell me about {topic}.",
            f"What do you think about {topic}?",
            f"I have a question about {topic}.",
            f"Can you help me with {topic}?",
            f"Explain {topic} to me.",
            f"What is new in {topic}?",
            f"Give me advice on {topic}.",
        )
    )
    return Turn(question, rng.choice(REFUSALS).format(topic))


def ask_city(rng: Random) -> Turn:
    """Ask about a city."""
    city = rng.choice(CITIES)
    question, topic = rng.choice(
        (
            (f"What is the weather in {city}?", "the weather"),
            (f"How many people live in {city}?", city),
            (f"What should I see in {city}?", city),
            (f"How do I get to {city}?", "travel"),
            (f"Who is the mayor of {city}?", "politics"),
            (f"Is {city} a nice city?", city),
        )
    )
    return Turn(question, rng.choice(REFUSALS).format(topic))


def tell_name(rng: Random) -> Turn:
    """Say a name that the model is asked for later."""
    name = rng.choice(NAMES)
    said = rng.choice((f"My name is {name}.", f"I am {name}.", f"Hi, I am {name}."))
    asked = rng.choice(("What is my name?", "Do you remember my name?", "Who am I?"))
    answer = f"Nice to meet you, {name}! How can I help you?"
    return Turn(said, answer, (asked, f"Your name is {name}."))


def chat(rng: Random) -> Turn:
    """Say something people say to each other."""
    questions, answers = rng.choice(TALK)
    return Turn(rng.choice(questions), rng.choice(answers))


TALKS = (ask_outside, ask_outside, ask_topic, ask_topic, ask_city, tell_name, *(chat,) * 5)


def small_talk(rng: Random) -> Turn:
    """Talk about nothing in particular."""
    return rng.choice(TALKS)(rng)
