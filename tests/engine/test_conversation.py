"""What is left out of a conversation that is too long: whole pairs, the oldest, for a while."""

from __future__ import annotations

from itertools import pairwise

import pytest

from utils.engine.conversation import (
    REFILLED,
    count_pairs,
    fewest_pairs,
    fewest_pairs_by_chars,
    room_for_prompt,
    within_chars,
    without_first,
    without_oldest,
)
from utils.engine.protocol import ChatMessage

ROLES = {"s": "system", "u": "user", "a": "assistant"}


def talk(words: str) -> list[ChatMessage]:
    """Messages like `s:rules u:one a:two`."""
    pairs = (word.split(":") for word in words.split())
    return [ChatMessage(role=ROLES[role], content=content) for role, content in pairs]


def said(messages) -> str:
    return " ".join(f"{message.role[0]}:{message.content}" for message in messages)


LONG = talk("s:rules u:one a:1 u:two a:2 u:three")


@pytest.mark.parametrize(
    ("pairs", "left"),
    [
        (0, "s:rules u:one a:1 u:two a:2 u:three"),
        (1, "s:rules u:two a:2 u:three"),
        (2, "s:rules u:three"),
        (9, "s:rules u:three"),
    ],
)
def test_the_oldest_pairs_go_and_the_system_prompt_and_the_last_question_stay(pairs, left):
    assert said(without_oldest(LONG, pairs)) == left
    assert count_pairs(LONG) == 2


def test_the_same_is_left_out_by_the_number_of_messages():
    for pairs in range(3):
        left = without_oldest(LONG, pairs)
        assert without_first(LONG, len(LONG) - len(left)) == left


def test_questions_without_answers_and_an_answer_in_front_go_with_the_oldest():
    messages = talk("a:hello u:one u:two a:2 s:more u:three")
    assert said(without_oldest(messages, 0)) == "a:hello u:one u:two a:2 s:more u:three"
    assert said(without_oldest(messages, 1)) == "u:two a:2 s:more u:three"
    assert said(without_oldest(messages, 2)) == "s:more u:three"


def test_an_answer_has_room_up_to_a_quarter_of_the_context():
    assert room_for_prompt(4096, 100) == 3996
    assert room_for_prompt(4096, 100_000) == 3072


def growing(turns: int, room: int, size: int = 10, slack: int = 0):
    """Return how many pairs are left out at each question of a growing conversation."""
    left_out = []
    for count in range(1, turns + 1):
        messages = talk("s:rules " + "u:question a:answer " * (count - 1) + "u:question")

        def fits(pairs: int, length: int = len(messages)) -> bool:
            return size * (length - 2 * pairs) + slack <= room

        sizes = [size] * len(messages)
        left_out.append(0 if fits(0) else fewest_pairs(messages, sizes, room, fits))
        assert fits(left_out[-1])
    return left_out


def test_what_is_left_out_stays_the_same_for_some_turns():
    left_out = growing(60, room=400)
    assert left_out == sorted(left_out)
    changes = sum(a != b for a, b in pairwise(left_out))
    assert 0 < changes <= 60 / (400 * (1 - REFILLED) / 20) + 1


def test_an_estimate_that_is_too_low_is_put_right():
    assert growing(30, room=400, slack=45)[-1] > growing(30, room=400)[-1] - 6


def test_where_nothing_fits_only_the_last_question_is_left():
    messages = talk("u:one a:1 u:two a:2 u:three")
    assert fewest_pairs(messages, [9] * 5, 5, lambda _: False) == 2
    assert fewest_pairs(talk("u:one"), [9], 5, lambda _: False) == 0


def test_as_many_go_as_have_too_many_characters():
    messages = talk("s:rules u:" + "x" * 50 + " a:" + "y" * 50 + " u:two a:2 u:three")
    assert fewest_pairs_by_chars(messages, 200) == 0
    assert said(within_chars(messages, 100)) == "s:rules u:two a:2 u:three"
    assert said(within_chars(messages, 1)) == "s:rules u:three"
    assert said(within_chars(talk("u:one"), 1)) == "u:one"
