"""What keeps a click on the chat cheap for the browser: few parts, styles that look at little."""

from __future__ import annotations

import re
import tomllib

import pytest

from config import ROOT
from tests.pages.steps import ask, wait_for_answer

# Those that a chat is drawn with.
STYLES = [ROOT / "pages" / "parts" / f"{name}.css" for name in ("main", "chat", "sidebar")]
# A part of a class name, and then anything else than the end of the selector; among others, or with
# rules inside of its own.
PART = r"\[class[*^$~|]=[^\]]*\]"
INSIDE = re.compile(rf"{PART}(?!\s*[,{{])[^{{]*|:is\([^)]*{PART}|{PART}\s*{{[^}}]*{{")
PARTS = 57


@pytest.fixture
def answered(page):
    for question in ("1?", "2?"):
        ask(page, question)
        wait_for_answer(page)
    return page


def test_two_turns_are_drawn_in_few_parts(answered):
    assert len(list(answered.main)) <= PARTS


def test_no_button_of_a_turn_has_help_which_would_have_it_built_twice(answered):
    assert answered.main.button
    assert [button.label for button in answered.main.button if button.help] == []


@pytest.mark.parametrize("style", STYLES, ids=lambda path: path.stem)
def test_nothing_inside_of_what_has_a_part_of_a_name_is_styled(style):
    assert INSIDE.findall(style.read_text()) == []


@pytest.mark.parametrize(
    "rule",
    ["%s button {}", "%s > p {}", ":is(%s, .b) p {}", "%s { button {} }", "p, %s:hover p {}"],
)
@pytest.mark.parametrize("part", ['[class*="x"]', '[class^="x"]'])
def test_such_a_style_is_found(rule, part):
    assert INSIDE.search(rule % part)


def test_the_browser_heeds_no_page_that_shows_the_app_inside_of_it():
    options = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert options["client"]["allowedOrigins"] == []
