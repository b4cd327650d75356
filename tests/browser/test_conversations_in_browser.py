from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_app_in_browser import ANSWER, ask, length, stop, wait_for_text
from tests.browser.walk import ask as say
from tests.browser.walk import go_to, wait_until_drawn, wait_until_still
from tests.served_app import served_app

pytestmark = pytest.mark.browser

SHORT = {"SPECCHAT_SAMPLING__MAX_TOKENS": "16"}
SEARCH = "Words of a question or an answer"


def new_chat(page):
    page.keyboard.press("Control+Shift+O")
    page.get_by_role("heading", name="Ask, and watch it draft").wait_for()


def row(page, title):
    return page.get_by_test_id("stSidebar").get_by_role("button", name=title, exact=True)


def choose(page, title, action):
    page.get_by_role("button", name=f"More about {title}", exact=True).click()
    page.get_by_role("menuitem", name=action).click()


@pytest.fixture(scope="module")
def short_app(chromium):
    with served_app(**SHORT) as app:
        yield app


def test_chats_and_settings_are_there_after_the_app_was_started_again(visit, tmp_path):
    kept = {"SPECCHAT_DATA_FOLDER": str(tmp_path / "data"), **SHORT}
    with served_app(**kept) as app, visit(app.url) as page:
        say(page, "What is a draft?")
        page.get_by_text("Speculative decoding", exact=True).click()
        page.get_by_text("speculative decoding is switched off").wait_for()
        cookies = page.context.cookies()
    with served_app(**kept) as app, visit(app.url) as page:
        wait_until_drawn(page)
        assert row(page, "What is a draft?").count() == 0
        page.context.add_cookies(cookies)
        page.reload()
        page.get_by_text("speculative decoding is switched off").wait_for()
        row(page, "What is a draft?").click()
        page.locator(ANSWER).wait_for()
        assert "chat=" in page.url


def test_the_keyboard_is_enough_to_write_begin_anew_and_find_again(short_app, visit):
    with visit(short_app.url) as page:
        field = page.get_by_placeholder("Ask something")
        field.fill("Of bears")
        field.press("Shift+Enter")
        page.keyboard.type("and cubs")
        page.keyboard.press("Enter")
        page.get_by_text("Of bears\nand cubs").wait_for()
        page.get_by_role("button", name="Regenerate").wait_for()
        new_chat(page)

        page.keyboard.press("Control+K")
        page.wait_for_function(
            "name => document.activeElement.getAttribute('aria-label') === name", arg=SEARCH
        )
        page.keyboard.type("cub")
        page.get_by_role("dialog").get_by_role("button", name="Of bears").click()
        page.get_by_text("Of bears\nand cubs").wait_for()
        page.get_by_role("dialog").wait_for(state="detached")


def test_escape_closes_a_search_first_and_stops_the_answer_then(endless_app, visit):
    with visit(endless_app.url) as page:
        ask(page, "Tell me a long story about a cat.")
        wait_for_text(page)
        page.keyboard.press("Control+K")
        page.get_by_label(SEARCH).wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")
        wait_for_text(page, length(page))
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Regenerate").wait_for()


def test_escape_closes_an_export_also_where_the_focus_was_lost(short_app, visit):
    with visit(short_app.url) as page:
        say(page, "Of ferrets")
        choose(page, "Of ferrets", "Export")
        page.locator(".st-key-unseen_escape [data-testid^=stBidiComponent]").wait_for(
            state="attached"
        )
        wait_until_still(page)
        # As with a button that is disabled while it prepares its file.
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")


def test_a_chat_goes_out_as_a_file_and_comes_in_again(short_app, visit, tmp_path):
    with visit(short_app.url) as page:
        say(page, "Of foxes")
        choose(page, "Of foxes", "Export")
        with page.expect_download() as download:
            page.get_by_role("button", name="JSON, all of it").click()
        file = tmp_path / download.value.suggested_filename
        assert file.name == "Of-foxes.json"
        download.value.save_as(file)
        # What another version wrote besides is left out; this takes long files too.
        file.write_text(json.dumps({**json.loads(file.read_text()), "more": 3 * 2**20 * "x"}))
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        page.get_by_role("dialog").wait_for(state="detached")
        choose(page, "Of foxes", "Delete")
        row(page, "Of foxes").wait_for(state="detached")

        choose(page, "chats", "Import a chat")
        upload = page.get_by_test_id("stFileUploader").locator("input[type=file]")
        upload.set_input_files(file)
        row(page, "Of foxes").wait_for()
        page.locator(ANSWER).wait_for()


def test_on_a_phone_the_list_makes_room_for_the_chat_that_is_opened(short_app, visit):
    with visit(short_app.url, width=390, height=844) as page:
        say(page, "Of wolves")
        page.get_by_test_id("stExpandSidebarButton").click()
        page.get_by_role("button", name=re.compile("^New chat")).click()
        page.get_by_role("heading", name="Ask, and watch it draft").wait_for()
        page.get_by_test_id("stExpandSidebarButton").click()
        row(page, "Of wolves").click()
        page.get_by_test_id("stExpandSidebarButton").wait_for()
        page.locator(ANSWER).wait_for()

        # Once is enough: whoever opens it again for another page has it open.
        go_to(page, "Models")
        page.get_by_test_id("stExpandSidebarButton").click()
        page.get_by_role("link", name="Chat", exact=True).click()
        page.locator(ANSWER).wait_for()
        closing = page.locator("[class*=st-key-unseen_leaving] [data-testid^=stBidiComponent]")
        closing.first.wait_for(state="attached")
        wait_until_still(page)
        expect(page.get_by_test_id("stSidebar")).to_have_attribute("data-collapsed", "false")


def test_two_tabs_show_two_chats_of_one_list(endless_app, visit):
    with visit(endless_app.url) as page:
        ask(page, "Tell me a long story about an owl.")
        wait_for_text(page)
        second = page.context.new_page()
        second.goto(endless_app.url)
        row(second, "Tell me a long story about an owl.").click()
        wait_for_text(second)
        new_chat(second)
        wait_for_text(page, length(page))
        stop(page)


def test_a_new_name_is_taken_on_enter_only(short_app, visit):
    with visit(short_app.url) as page:
        say(page, "Of owls")
        field = page.get_by_role("textbox", name="New name")
        choose(page, "Of owls", "Rename")
        # Until then nothing in the page knows of the key.
        expect(field).to_be_focused()
        field.fill("Of eagles")
        field.press("Escape")
        row(page, "Of owls").wait_for()
        field.wait_for(state="detached")

        choose(page, "Of owls", "Rename")
        field.fill("Of eagles")
        page.get_by_placeholder("Ask something").click()
        wait_until_drawn(page)
        page.reload()
        row(page, "Of owls").wait_for()

        choose(page, "Of owls", "Rename")
        field.fill("Of eagles")
        field.press("Enter")
        row(page, "Of eagles").wait_for()
