"""A chat that is opened by its address in another browser."""

from __future__ import annotations

import pytest

from tests.chat.stand_in import BASELINE, Gate, round_of
from tests.pages.steps import ask, check, open_page, shown, wait_for_answer
from utils.chat.archive import get_archive
from utils.events import Started

ANN, BEN = "a-browser-of-22-chars-", "another-of-22-characters"


@pytest.fixture
def be(monkeypatch):
    """Makes all pages those of a browser, from their next drawing on."""

    def be(browser_id):
        monkeypatch.setattr("pages.parts.browser.browser_id", lambda: browser_id)

    be(ANN)
    return be


@pytest.fixture
def chat(be, page):
    """A chat of Ann's with an answer that was written twice."""
    ask(page, "Of bears?")
    wait_for_answer(page)
    check(page.button(key="again").click().run())
    wait_for_answer(page)
    be(BEN)
    return page


def guest_of(page):
    return open_page(chat=page.query_params["chat"])


def turns(page):
    return page.session_state["conversation"].all_turns


def test_another_browser_reads_a_chat_and_can_change_nothing_of_it(chat):
    guest = guest_of(chat)
    assert "Of bears?" in shown(guest)
    assert "belongs to another browser" in shown(guest)
    assert guest.chat_input[0].disabled
    assert "copy it to go on" in guest.chat_input[0].placeholder
    kinds = ("again", "quiet_edit", "quiet_more", "quiet_earlier", "quiet_later")
    changing = [
        button
        for button in (*guest.button, *guest.menu_button)
        if str(button.key).startswith(kinds)
    ]
    assert len(changing) == 5
    assert all(button.disabled for button in changing)
    assert not guest.feedback


def test_a_browser_without_cookies_is_told_why_and_what_to_do(be, chat):
    assert "cookies" not in shown(guest_of(chat))
    be("")
    guest = guest_of(chat)
    assert "Without cookies this browser is taken for another one after each reload" in shown(guest)
    assert "copy the chat to go on with it, and allow cookies for this address" in shown(guest)
    check(guest.button(key="copy_chat").click().run())
    assert "cookies" not in shown(guest)


def test_what_a_page_of_before_asks_for_is_refused(be, chat):
    before = turns(chat)
    be(ANN)
    own = guest_of(chat)
    be(BEN)
    check(own.button(key="again").click().run())
    assert "belongs to another browser" in own.toast[0].value
    assert turns(chat) == before


def test_the_answer_of_another_is_not_stopped(be, engine, page):
    gate = Gate()
    engine.client.scripts.append([Started(3, 0, 1, BASELINE), round_of(["Half"], drafted=2), gate])
    ask(page, "Of owls?")
    assert gate.reached.wait(10)
    be(BEN)
    guest = guest_of(page)
    assert "Half" in shown(guest)
    assert "stop" not in [button.key for button in guest.button]
    assert guest.button(key="copy_chat").disabled
    gate.opened.set()


def test_a_copy_is_ones_own_and_leaves_the_first_alone(chat):
    guest = guest_of(chat)
    check(guest.button(key="copy_chat").click().run())
    assert "belongs to another browser" not in shown(guest)
    assert "Of bears?" in shown(guest)
    assert guest.query_params["chat"] != chat.query_params["chat"]
    ask(guest, "And cubs?")
    wait_for_answer(guest)
    assert len(turns(guest)) == 3
    assert len(turns(chat)) == 2
    assert [found.title for found in get_archive().list(BEN)] == ["Of bears?"]


def test_a_temporary_chat_opens_nowhere_else(be, page):
    check(page.menu_button(key="icon_only_chats").click("New temporary chat").run())
    ask(page, "Hush?")
    wait_for_answer(page)
    assert "Hush?" in shown(guest_of(page))
    be(BEN)
    assert "Hush?" not in shown(guest_of(page))
