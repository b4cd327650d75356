from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.browser
CHARTS = (
    "Acceptance by place in the draft",
    "Tokens kept in a round",
    "Draft length along the answer",
    "What a pass over several tokens costs",
    "Where the time went",
    "Memory of the engine",
    "Speed of the answers",
)


def ask(page, question):
    page.get_by_placeholder("Ask something").fill(question)
    page.keyboard.press("Enter")
    page.get_by_test_id("stExpander").filter(has_text=re.compile("tokens/s")).last.wait_for()


def open_performance(page):
    page.get_by_role("link", name="Performance").click()
    page.get_by_role("heading", name="Performance", exact=True).wait_for()


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (390, True)])
def test_an_answer_is_taken_apart_and_nothing_sticks_out(app, visit, width, dark):
    with visit(app.url, width=width, dark=dark) as page:
        ask(page, "Count from 1 to 20.")
        if width < 640:
            page.get_by_test_id("stExpandSidebarButton").click()
        open_performance(page)
        page.get_by_role("heading", name="Why was it not faster?").wait_for()
        page.get_by_role("table").get_by_text("the embedded draft").wait_for()
        for title in CHARTS:
            page.get_by_role("heading", name=title).wait_for()
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_answer_that_ends_meanwhile_appears_by_itself(app, visit):
    with visit(app.url) as page:
        ask(page, "Count from 1 to 20.")
        open_performance(page)
        page.get_by_role("table").wait_for()
        chat = page.context.new_page()
        chat.goto(app.url)
        ask(chat, "Count from 1 to 10.")
        page.get_by_role("table").get_by_role("cell", name="2", exact=True).first.wait_for()
