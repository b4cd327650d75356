from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.walk import wait_until_drawn

pytestmark = pytest.mark.browser

ANSWER = '[aria-label="Chat message from assistant"]'
PANEL = ".st-key-live_upper_acceptance"
LINE = f"{PANEL} .js-line"
CLICKS = 3
# The text alone: words of charts, and symbols of buttons, come when they are built.
TEXT = "[data-testid=stMarkdown] [data-testid=stMarkdownContainer], [data-testid=stHtml]"
LENGTH = f"""() => {{
  const answer = [...document.querySelectorAll('{ANSWER}')].at(-1)
  const texts = answer?.querySelectorAll('{TEXT}') ?? []
  return [...texts].reduce((sum, text) => sum + text.textContent.length, 0)
}}"""
REDRAWN = """([line, before]) => {
  const now = document.querySelector(line)?.getAttribute("d");
  return now && now !== before;
}"""


def ask(page, question):
    page.get_by_placeholder("Ask something").fill(question)
    page.keyboard.press("Enter")


def length(page):
    return page.evaluate(LENGTH)


def wait_for_more_text(page, than):
    page.wait_for_function(f"than => ({LENGTH})() > than", arg=than)


def wait_for_text(page, count=200):
    wait_for_more_text(page, count)


def stop(page):
    # Streamlit's own header has a button of that name while a page is being drawn.
    bottom = page.get_by_test_id("stBottomBlockContainer")
    bottom.get_by_role("button", name=re.compile("^Stop")).click()
    page.get_by_role("button", name="Regenerate").wait_for()
    wait_until_drawn(page)


def test_a_question_is_answered_with_figures_and_asked_again_without_drafts(app, visit):
    with visit(app.url) as page:
        page.get_by_role("heading", name="Ask, and watch it draft").wait_for()
        page.get_by_role("button", name="What is speculative decoding?").click()
        page.get_by_role("button", name="Regenerate").wait_for()
        figures = page.get_by_text(re.compile(r"tokens/s .* accepted .* first token"))
        figures.wait_for()
        assert "the embedded draft" in figures.inner_text()
        # One line, in pieces where nothing was drafted for a while.
        expect(page.locator(f"{PANEL} .trace:has(.js-line)")).to_have_count(1)

        page.get_by_text("Speculative decoding", exact=True).click()
        page.get_by_text("speculative decoding is switched off").wait_for()
        ask(page, "Count from 1 to 12.")
        page.get_by_text(re.compile("tokens/s .* no draft")).wait_for()
        page.locator(PANEL).get_by_text("nothing was drafted").wait_for()

        # While the answer is written the same words stand there, and do not open.
        page.get_by_test_id("stExpander").filter(
            has_text=re.compile("tokens/s .* no draft")
        ).click()
        page.get_by_text(re.compile("Plain decoding of this target")).wait_for()


def test_the_chat_has_one_title_before_the_first_question_and_after_it(app, visit):
    with visit(app.url) as page:
        titles = page.get_by_role("heading", level=1)
        expect(titles).to_have_text(["Ask, and watch it draft"])
        ask(page, "Count from 1 to 12.")
        expect(titles).to_have_text(["SpecChat"])
        page.get_by_role("button", name="Regenerate").wait_for()
        expect(titles).to_have_text(["SpecChat"])


def test_an_answer_grows_its_charts_move_and_stop_keeps_what_is_there(endless_app, visit):
    with visit(endless_app.url) as page:
        ask(page, "Tell me a long story about a fox.")
        page.get_by_text("drafted by the embedded draft").wait_for()
        wait_for_text(page)
        first = length(page)
        wait_for_more_text(page, first)
        page.locator(LINE).first.wait_for()
        page.wait_for_function(REDRAWN, arg=[LINE, page.locator(LINE).first.get_attribute("d")])
        stop(page)

        page.get_by_text(re.compile("tokens/s .* stopped")).wait_for()
        # Stars for its speed are the last that is drawn of an answer that has ended.
        page.get_by_text("Speed", exact=True).wait_for()
        kept = length(page)
        assert kept > first
        page.wait_for_timeout(500)
        assert length(page) == kept


def test_clicks_a_second_tab_and_a_reload_leave_a_running_answer_alone(endless_app, visit):
    with visit(endless_app.url) as page:
        ask(page, "Tell me a long story about a bear.")
        wait_for_text(page)
        page.get_by_text("Show token sources").click()
        page.get_by_text("drafted, and accepted by the target").wait_for()
        wait_for_more_text(page, length(page))

        second = page.context.new_page()
        second.goto(page.url)
        # The list of chats has the question for a title.
        asked = second.get_by_label("Chat message from user")
        asked.get_by_text("Tell me a long story about a bear.").wait_for()
        wait_for_text(second)

        seen = length(second)
        page.reload()
        wait_for_text(page, seen)
        stop(page)
        page.get_by_text(re.compile("tokens/s .* stopped")).wait_for()
        second.get_by_text(re.compile("tokens/s .* stopped")).wait_for()


def test_no_click_is_lost_while_an_answer_is_written(endless_app, visit):
    with visit(endless_app.url) as page:
        ask(page, "Tell me a long story about a wolf.")
        wait_for_text(page)
        fold = page.get_by_test_id("stSidebar").get_by_text("Sampling", exact=True)
        inside = page.get_by_role("spinbutton", name="Seed")
        sources = page.get_by_text("drafted, and accepted by the target")
        for state in ("visible", "hidden") * CLICKS:
            fold.click()
            inside.wait_for(state=state)
            page.get_by_text("Show token sources").click()
            sources.wait_for(state=state)
        stop(page)


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_as_dark_as_the_system(app, visit, dark):
    with visit(app.url, dark=dark) as page:
        color = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", color)[:3])) / 3
        assert (brightness < 60) if dark else (brightness > 200)


def test_the_browser_itself_refuses_what_a_model_might_try(app, visit):
    def leak():
        with (
            visit(app.url) as page,
            page.expect_console_message(lambda message: message.type == "error"),
        ):
            page.evaluate("new Image().src = 'http://192.0.2.1/leak.png'")

    with pytest.raises(AssertionError, match="Content Security Policy"):
        leak()
