from __future__ import annotations

import pytest

from utils.chat.titles import ELLIPSIS, checked_title, title_of


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("Why is the sky blue?", "Why is the sky blue?"),
        ("\n\n  # Heading  \nmore", "Heading"),
        ("---\n```\nprint(1)\n```", "print(1)"),
        ("", ""),
        ("word " * 40, "word " * 11 + f"word{ELLIPSIS}"),
        ("x" * 100, "x" * 59 + ELLIPSIS),
        ("日" * 100, "日" * 59 + ELLIPSIS),
    ],
)
def test_a_title_is_the_first_line_that_says_something(question, title):
    assert title_of(question) == title
    assert len(title) <= 60


def test_a_given_title_is_one_line_of_bounded_length():
    assert checked_title(" a\n b\t") == "a b"
    assert len(checked_title("x" * 10_000)) == 120
