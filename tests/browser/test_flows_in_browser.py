"""Ways through the app that no single page owns."""

from __future__ import annotations

import re

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from tests.browser import walk
from tests.browser.test_app_in_browser import ask, length, stop, wait_for_more_text, wait_for_text

pytestmark = pytest.mark.browser

LEAVES = 4
COUNT_DRAWINGS = """() => {
  window.drawings = 0
  new MutationObserver(() => window.drawings++).observe(
    document.querySelector(".stApp"), { attributeFilter: ["data-test-script-state"] })
}"""


def repeat_last_part(socket):
    """Between page and app: when a page is left, its last part is asked for once more.

    A slow browser does that: it learns of the new page after it has asked for one it already left.
    """
    server, parts = socket.connect_to_server(), []

    def pass_on(frame):
        server.send(frame)
        asked = BackMsg.FromString(frame).rerun_script
        if asked.fragment_id:
            parts.append(frame)
        elif parts:
            server.send(parts.pop())
            parts.clear()

    socket.on_message(pass_on)


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


def test_a_part_of_a_page_asked_for_after_it_was_left_harms_no_other_page(endless_app, visit):
    with visit(endless_app.url) as page:
        page.route_web_socket(re.compile("_stcore/stream"), repeat_last_part)
        page.reload()
        page.get_by_placeholder("Ask something").wait_for()
        ask(page, "Tell me a long story about a mole.")
        wait_for_text(page)
        for _ in range(LEAVES):
            walk.go_to(page, "Models")
            page.evaluate(COUNT_DRAWINGS)
            page.wait_for_function("window.drawings > 4")
            assert page.get_by_role("heading", name="Models", exact=True).is_visible()
            walk.go_to(page, "Chat")
        stop(page)


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
