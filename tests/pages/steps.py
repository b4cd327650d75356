"""What a user does on a page and sees there."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from config import ROOT
from utils.chat.jobs import get_board

SCRIPT = ROOT / "pages" / "main.py"
FOLDS = ("Sampling", "System prompt", "Advanced", "Presets", "ranking", "unfit")


def open_page(**parameters):
    """Open the chat, with its folds of settings open."""
    page = AppTest.from_file(SCRIPT, default_timeout=20)
    for name in FOLDS:
        page.session_state[f"fold_{name}"] = True
    for name, value in parameters.items():
        page.query_params[name] = value
    return check(page.run())


def check(page):
    assert not page.exception
    return page


def ask(page, question):
    return check(page.chat_input[0].set_value(question).run())


def wait_for_answer(page):
    assert job_of(page).wait(10)
    return check(page.run())


def draw_all(page):
    """Take what was set, which may draw a part of the page alone, and draw the page."""
    return check(check(page.run()).run())


def job_of(page):
    conversation = page.session_state["conversation"]
    job = get_board().find(conversation.turns[-1].job_id)
    assert job is not None
    return job


def shown(page):
    return "\n".join(element.value for element in (*page.markdown, *page.text, *page.caption))
