"""Ways through the app that no single page owns."""

from __future__ import annotations

import re

import pytest

from tests.browser import walk
from tests.browser.test_app_in_browser import ask, length, stop, wait_for_more_text, wait_for_text

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (390, True)])
def test_an_answer_goes_on_while_another_page_is_looked_at(endless_app, visit, width, dark):
    with visit(endless_app.url, width=width, dark=dark) as page:
        ask(page, "Tell me a long story about a hare.")
        wait_for_text(page)
        seen = length(page)
        walk.go_to(page, "Models")
        walk.go_to(page, "Chat")
        wait_for_more_text(page, seen)
        stop(page)
        figures = page.get_by_text(re.compile("tokens/s .* stopped"))
        figures.wait_for()
        kept = figures.inner_text()
        walk.go_to(page, "Experiments")
        walk.go_to(page, "Chat")
        assert figures.inner_text() == kept


@pytest.mark.parametrize("name", ["Compare", "Experiments", "Performance", "Models"])
def test_a_page_is_opened_by_its_address_and_reloaded(app, visit, name):
    with visit(app.url) as page:
        page.goto(f"{app.url}/{name.lower()}")
        page.get_by_role("heading", name=name, exact=True).wait_for()
        page.reload()
        page.get_by_role("heading", name=name, exact=True).wait_for()
        walk.wait_until_drawn(page)
        assert page.url.split("?")[0] == f"{app.url}/{name.lower()}"
        walk.go_to(page, "Chat")
        assert page.url.split("?")[0].rstrip("/") == app.url


def test_two_tabs_ask_at_once_and_both_are_answered(app, visit):
    with visit(app.url) as page:
        second = page.context.new_page()
        second.goto(app.url)
        second.get_by_placeholder("Ask something").wait_for()
        ask(page, "Count from 1 to 12.")
        ask(second, "What is speculative decoding?")
        for tab, question in ((page, "Count from"), (second, "What is speculative")):
            tab.get_by_role("button", name="Regenerate").wait_for()
            tab.get_by_label("Chat message from user").get_by_text(question).wait_for()
