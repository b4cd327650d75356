from __future__ import annotations

from html.parser import HTMLParser
from typing import get_args

import pytest

from utils.chat.snapshots import SourceRun
from utils.chat.token_sources import MEANINGS, STYLES, legend_html, source_html, source_pieces
from utils.events import TokenSource


class Reader(HTMLParser):
    """Collects text and tags as a browser sees them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize(
    "text",
    [
        "<b>bold</b>",
        "]:red[x]{",
        "```\n`",
        "&lt;",
        "\n\n  x",
        "\"'><script>alert(1)</script>",
        "$x$",
    ],
)
def test_any_token_text_comes_through_as_text(text):
    page = Reader(source_html([SourceRun("accepted", text), SourceRun("bonus", text)]))
    assert page.text == text + text
    assert page.tags == ["div", "span", "span"]


def test_every_source_has_a_style_of_its_own_that_is_not_colour_alone():
    assert set(STYLES) == set(MEANINGS) == set(get_args(TokenSource))
    lines = [style.split("border-bottom:")[1].split(" rgb")[0] for style in STYLES.values()]
    assert len(set(lines)) == len(lines)


def test_the_legend_names_every_source():
    text = Reader(legend_html()).text
    assert all(source in text and meaning in text for source, meaning in MEANINGS.items())


def runs(count, text="some words"):
    return [SourceRun("accepted" if n % 2 else "bonus", f"{n} {text}") for n in range(count)]


@pytest.mark.parametrize("text", ["a line\n", "no end"])
def test_a_long_text_is_cut_into_pieces_that_stay_while_it_grows(text):
    every = runs(1000, text)
    whole = list(source_pieces(every))
    assert len(whole) > 3
    for count in (200, 201, 500, 999):
        begun = list(source_pieces(every[:count]))
        assert begun[:-1] == whole[: len(begun) - 1]


def test_pieces_lose_no_text_but_the_ends_of_lines_that_they_end_with():
    every = runs(1000, "a line\nand more")
    pieces = ["".join(run.text for run in piece) for piece in source_pieces(every)]
    assert "\n".join(pieces) == "".join(run.text for run in every)
    assert all(piece.endswith("a line") for piece in pieces[:-1])
