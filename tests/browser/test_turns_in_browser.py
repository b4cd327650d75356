"""What is done with a turn in a real browser: edited, copied, continued, with a file, at once."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_app_in_browser import ask as begin
from tests.browser.test_app_in_browser import length, stop, wait_for_text
from tests.browser.walk import ask, wait_until_drawn

pytestmark = pytest.mark.browser

QUESTION = '[aria-label="Chat message from user"]'
ANSWER = '[aria-label="Chat message from assistant"]'


def wait_for_end(page):
    page.get_by_role("button", name="Regenerate").wait_for()
    wait_until_drawn(page)


def test_a_question_with_a_file_is_edited_and_both_versions_are_there(app, visit):
    with visit(app.url) as page:
        # Until a file has arrived nothing is sent.
        with page.expect_response(re.compile("_stcore/upload_file")):
            page.locator('[data-testid="stChatInput"] input[type="file"]').set_input_files(
                {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"one\ntwo\n"}
            )
        page.get_by_text("notes.txt").wait_for()
        ask(page, "Count from 1 to 12.")
        page.get_by_role("button", name=re.compile("notes.*2 lines")).click()
        page.get_by_text("two", exact=True).wait_for()
        page.keyboard.press("Escape")

        page.get_by_role("button", name="Edit").click()
        page.get_by_label("Edit the question").fill("What is speculative decoding?")
        page.get_by_role("button", name="Ask again").click()
        page.get_by_text("2 / 2").wait_for()
        wait_for_end(page)
        page.get_by_role("button", name="Earlier version").click()
        page.get_by_text("1 / 2").wait_for()
        page.locator(QUESTION).get_by_text("Count from 1 to 12.").wait_for()


def test_one_question_is_edited_at_a_time(app, visit):
    with visit(app.url) as page:
        for question in ("Count from 1 to 3.", "Count from 1 to 4."):
            ask(page, question)
        form = page.get_by_label("Edit the question")
        page.get_by_role("button", name="Edit").first.click()
        form.wait_for()
        page.get_by_role("button", name="Edit").last.click()
        page.locator(QUESTION).last.get_by_label("Edit the question").wait_for()
        expect(form).to_have_count(1)
        page.get_by_role("button", name="Cancel").click()
        page.locator(QUESTION).get_by_text("Count from 1 to 4.").wait_for()


def test_an_answer_is_copied_as_it_was_written(app, visit):
    with visit(app.url) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        ask(page, "Write a Python function that reverses a string.")
        page.get_by_role("button", name="Copy", exact=True).first.click()
        page.get_by_text("Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert "```" in copied


def test_an_answer_that_was_stopped_is_continued(endless_app, visit):
    with visit(endless_app.url) as page:
        begin(page, "Tell me a long story about an owl.")
        wait_for_text(page)
        stop(page)
        text = page.locator(ANSWER).last.get_by_test_id("stMarkdownContainer").first
        before, written = text.inner_text(), length(page)
        page.get_by_role("button", name="Continue").click()
        wait_for_text(page, written + 100)
        stop(page)
        assert page.locator(ANSWER).last.inner_text().startswith(before)


def test_on_a_phone_all_that_can_be_done_with_a_turn_is_in_its_width(app, visit):
    with visit(app.url, width=390, height=844) as page:
        ask(page, "Count from 1 to 12.")
        ask(page, "Count from 1 to 20.")
        page.get_by_role("button", name="Answer again").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for name in ("Edit", "More", "Regenerate"):
            box = page.get_by_role("button", name=name).last.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
            assert box["width"] >= 24
            assert box["height"] >= 24
