from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_app_in_browser import ask
from tests.browser.walk import go_to

pytestmark = pytest.mark.browser


def card(page, name):
    return page.get_by_test_id("stMain").locator('[class*="st-key-model_"]').filter(has_text=name)


def delete(page, name, decision):
    card(page, name).get_by_role("button", name=re.compile("^Delete")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=decision, exact=True).click()
    dialog.wait_for(state="detached")


def figures(page, words):
    """The line under a finished answer; while it is written, the same words do not open."""
    return page.get_by_test_id("stExpander").filter(has_text=re.compile(f"tokens/s.*{words}"))


def test_a_model_is_pulled_with_a_break_and_answers_and_another_is_deleted(app_with_ollama, visit):
    ollama = app_with_ollama
    ollama.hold_pulls()
    with visit(ollama.app.url) as page:
        go_to(page, "Models")
        page.get_by_label("Pull a model").fill("tale")
        page.keyboard.press("Enter")
        page.get_by_text(re.compile("^0 of 0 MB|pulling")).first.wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("what has arrived is kept").wait_for()
        ollama.let_pulls_go_on()
        page.get_by_role("button", name="Resume").click()
        page.get_by_text(re.compile("tale.*latest is here")).wait_for()
        card(page, "tale:latest").get_by_text("Not tried yet").wait_for()

        delete(page, "demo-draft:latest", "Keep it")
        expect(card(page, "demo-draft:latest")).to_have_count(1)
        delete(page, "demo-draft:latest", "Delete")
        card(page, "demo-draft:latest").wait_for(state="detached")
        assert [body["model"] for body in ollama.registry.server.asked_of("delete")] == [
            "demo-draft:latest"
        ]

        card(page, "tale:latest").get_by_role("button", name="Chat with it").click()
        page.get_by_text(re.compile("Runs in the engine")).wait_for()
        ask(page, "Once upon a time?")
        figures(page, "first token").wait_for()
        assert ollama.app.health()[1]["model"] == "tale:latest"


def test_a_target_is_picked_in_the_chat_and_one_of_ollamas_answers_through_it(
    app_with_ollama, visit
):
    with visit(app_with_ollama.app.url) as page:
        page.get_by_role("combobox", name="Model").click()
        page.get_by_role("option", name="pocket").click()
        page.get_by_text("Runs in the engine").wait_for()
        app_with_ollama.app.wait_until(lambda _, health: health.get("model") == "pocket")
        ask(page, "Who are you?")
        figures(page, "first token").wait_for()

        page.get_by_role("combobox", name="Model").click()
        page.get_by_role("option", name="demo:latest").click()
        page.get_by_text("answers through Ollama").wait_for()
        page.get_by_text(re.compile("not on this machine.*Ollama answers")).wait_for()
        ask(page, "And who are you?")
        figures(page, "Ollama").wait_for()
        assert app_with_ollama.registry.server.asked_of("chat")[-1]["model"] == "demo:latest"
