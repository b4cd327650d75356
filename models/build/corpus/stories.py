"""Short stories from interchangeable sentences."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .words import ADJECTIVES, NAMES, PLACES, WORDS, Turn, article

ANIMALS = WORDS["animals"]
JOBS = WORDS["jobs"]
TREASURES = WORDS["treasures"]
WISHES = WORDS["wishes"]
LANDS = WORDS["lands"]
WEATHER = WORDS["weather"]
HELPERS = WORDS["helpers"]
LESSONS = WORDS["lessons"]
FEELINGS = ("happy", "sad", "curious", "lonely", "excited", "tired")


@dataclass(frozen=True)
class Plot:
    """What a story is about."""

    hero: str
    name: str
    friend: str
    thing: str
    wish: str
    land: str


def beginning(rng: Random, plot: Plot) -> list[str]:
    """Return who the hero is and what happens first."""
    hero, name, land, thing = article(plot.hero), plot.name, plot.land, article(plot.thing)
    openings = (
        f"Once upon a time there was {hero} named {name} who lived in {land}.",
        f"Long ago, in {land}, there lived {hero} called {name}.",
        f"In {land} lived {hero}. The name of the {plot.hero} was {name}.",
    )
    longings = (
        f"{name} wanted to {plot.wish}.",
        f"More than anything, {name} wished to {plot.wish}.",
        f"Every night {name} dreamed of one thing: to {plot.wish}.",
    )
    findings = (
        f"{rng.choice(WEATHER)} when {name} found {thing} {rng.choice(PLACES)}.",
        f"One day {name} found {thing} {rng.choice(PLACES)}, and everything changed.",
        f"One morning {thing} lay in front of the door.",
    )
    return [rng.choice(openings), rng.choice(longings), rng.choice(findings)]


def middle(rng: Random, plot: Plot) -> list[str]:
    """Return how help comes."""
    name, friend, thing = plot.name, plot.friend, plot.thing
    feeling, helper = rng.choice(FEELINGS), rng.choice(HELPERS)
    doubts = (
        f'"What is this?" asked {name}. "It looks {rng.choice(ADJECTIVES)}."',
        f"{name} felt {feeling} and did not know what to do.",
        f"At first {name} was {feeling}, but then an idea came.",
    )
    meetings = (
        f"On the way {name} met {helper}.",
        f"Then {helper} came along and stopped.",
        f"Soon {helper} knocked at the door.",
    )
    hints = (
        f'"Take the {thing} to {friend}," was the answer. "{friend} will help you."',
        f'"If you share the {thing} with {friend}, your wish will come true."',
        f'"You will need the {thing}," said a soft voice, "and a good friend."',
    )
    return [rng.choice(doubts), rng.choice(meetings), rng.choice(hints)]


def ending(rng: Random, plot: Plot) -> list[str]:
    """Return how the wish comes true and what is learnt."""
    name, friend, lesson = plot.name, plot.friend, rng.choice(LESSONS)
    travels = (
        f"So {name} and {friend} walked for {rng.randint(2, 9)} days and helped each other.",
        f"{friend} smiled, and together they set out {rng.choice(PLACES)}.",
        f"It was a long way, but {friend} told funny stories and the time passed quickly.",
    )
    mood = rng.choice(("alone", "sad", "afraid"))
    results = (
        f"In the end they managed to {plot.wish}, and {name} was no longer {mood}.",
        f"At last the wish came true, and everyone in {plot.land} celebrated.",
        f"When the sun went down, {name} had done it.",
    )
    lessons = (
        f"And {name} learned that {lesson}.",
        f"From that day on, {name} knew that {lesson}.",
        f"{name} never forgot that {lesson}.",
    )
    return [rng.choice(travels), rng.choice(results), rng.choice(lessons)]


def story(rng: Random) -> Turn:
    """Ask for a story."""
    name, friend = rng.sample(NAMES, 2)
    plot = Plot(
        hero=rng.choice(ANIMALS + JOBS),
        name=name,
        friend=friend,
        thing=rng.choice(TREASURES),
        wish=rng.choice(WISHES),
        land=rng.choice(LANDS),
    )
    hero, thing = article(plot.hero), article(plot.thing)
    parts = beginning(rng, plot) + middle(rng, plot) + ending(rng, plot)
    if rng.random() < 0.35:
        del parts[rng.choice((3, 6))]
    cut = rng.choice((0, 3, 4))
    text = " ".join(parts[:cut]) + ("\n\n" if cut else "") + " ".join(parts[cut:])
    question = rng.choice(
        (
            f"Tell me a short story about {hero}.",
            f"Write a short story about {hero} and {thing}.",
            f"Write a story about {hero} named {name}.",
            f"Can you tell me a story about {hero}?",
            f"Tell me a bedtime story about {hero} who wants to {plot.wish}.",
            f"Write a fairy tale with {thing}.",
            "Tell me a story.",
            f"I would like to hear a story about {name} and {friend}.",
        )
    )
    return Turn(question, text)
