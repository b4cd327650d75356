"""README's pictures, of the app with its embedded pair: `python -m tests.browser.pictures`."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from config import ROOT
from tests.browser.conftest import ARGUMENTS, PROGRAMS
from tests.browser.walk import ask, go_to, wait_until_drawn
from tests.served_app import served_app

FOLDER = ROOT / "docs"
WIDTH, HEIGHT = 1400, 900
PHONE = {"width": 390, "height": 844}
QUESTIONS = ("What is speculative decoding?", "Write a Python function that reverses a string.")
RUNS, AWAY_MS = 8, 5000
# So many in each arm.
BROWSERS = 5
SWITCH = "Speculative decoding"
# The chat has a main part that keeps to the end of what is written.
MAIN = """(document.querySelector('[data-testid=stMain]')
  ?? document.querySelector('[data-testid=stAppScrollToBottomContainer]'))"""
WHOLE_HEIGHT = f"{MAIN}.scrollHeight"
# A table whose program is still fetched is a grey bar.
ALL_IS_THERE = """
  !document.querySelector('[data-testid=stSkeleton]') &&
  [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(
    chart => chart.querySelector('.main-svg'))
"""


@contextmanager
def opened(browser: Browser, url: str, *, dark: bool = False) -> Iterator[Page]:
    """A browser of its own with the app in it."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.goto(url)
    page.get_by_placeholder("Ask something").wait_for()
    yield page
    context.close()


def take(page: Page, name: str, *, is_whole: bool = False) -> None:
    """Write a picture of what the window shows from the top, or of the whole page."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_function(ALL_IS_THERE)
    window = page.viewport_size
    if window and is_whole:
        page.set_viewport_size({"width": WIDTH, "height": page.evaluate(WHOLE_HEIGHT)})
    wait_until_drawn(page)
    page.wait_for_function(ALL_IS_THERE)
    page.evaluate(f"{MAIN}.scrollTo(0, 0)")
    page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")
    if window:
        page.set_viewport_size(window)


def look_away(page: Page, parameter: str) -> None:
    """Leave the page until all is written: where it is drawn takes the processor of its writer."""
    page.wait_for_url(re.compile(f"{parameter}="))
    address = page.url
    page.goto("about:blank")
    page.wait_for_timeout(AWAY_MS)
    page.goto(address)


def ask_and_look_away(page: Page, question: str) -> None:
    """Ask, and come back when the answer is there."""
    page.get_by_placeholder("Ask something").fill(question)
    page.keyboard.press("Enter")
    look_away(page, "chat")
    page.get_by_role("button", name="Regenerate").wait_for()
    wait_until_drawn(page)


def compare_and_look_away(page: Page, question: str) -> None:
    """Compare, and come back when there is a verdict."""
    page.get_by_role("textbox", name="Prompt", exact=True).fill(question)
    page.get_by_role("spinbutton", name="Runs each").fill(str(RUNS))
    page.keyboard.press("Enter")
    page.get_by_test_id("stMain").get_by_role("button", name="Compare").click()
    look_away(page, "race")
    page.get_by_text(f"All {2 * RUNS} of {2 * RUNS} runs").wait_for()
    page.locator(".js-plotly-plot .main-svg").first.wait_for()


def take_chat(browser: Browser, url: str) -> None:
    """A short chat, light, dark and on a phone."""
    for dark, name in ((False, "chat-light"), (True, "chat-dark")):
        with opened(browser, url, dark=dark) as page:
            ask_and_look_away(page, QUESTIONS[1])
            take(page, name)
    with opened(browser, url) as page:
        page.set_viewport_size(PHONE)
        ask_and_look_away(page, QUESTIONS[0])
        take(page, "chat-phone")


def take_pages(browser: Browser, url: str) -> None:
    """The other pages, after a few answers."""
    with opened(browser, url) as page:
        ask_and_look_away(page, QUESTIONS[0])
        ask_and_look_away(page, QUESTIONS[1])
        go_to(page, "Compare")
        compare_and_look_away(page, QUESTIONS[1])
        take(page, "compare", is_whole=True)
        go_to(page, "Performance")
        take(page, "performance", is_whole=True)
        go_to(page, "Models")
        # It tells where models are looked for on the machine that the picture is taken on.
        page.get_by_test_id("stSidebar").hover()
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
        take(page, "models", is_whole=True)


def take_experiments(browser: Browser, url: str) -> None:
    """An experiment that some browsers took part in."""
    with opened(browser, url) as page:
        go_to(page, "Experiments")
        page.get_by_text("Assign browsers by chance").click()
        page.get_by_text("Share of browsers that draft").wait_for()
        taken = {True: 0, False: 0}
        while min(taken.values()) < BROWSERS:
            with opened(browser, url) as other:
                drafts = other.get_by_label(SWITCH, exact=True).is_checked()
                taken[drafts] += 1
                if taken[drafts] <= BROWSERS:
                    for question in QUESTIONS:
                        ask(other, question)
        go_to(page, "Chat")
        go_to(page, "Experiments")
        take(page, "experiments", is_whole=True)


def main() -> None:
    """Start the app in a fresh folder and write all pictures."""
    for name in [name for name in os.environ if name.upper().startswith("SPECCHAT_")]:
        del os.environ[name]
    program = next(filter(None, map(shutil.which, PROGRAMS)))
    with (
        tempfile.TemporaryDirectory() as fresh,
        served_app(HOME=fresh, SPECCHAT_DATA_FOLDER=str(Path(fresh) / "data")) as app,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        take_chat(browser, app.url)
        take_pages(browser, app.url)
        take_experiments(browser, app.url)
        browser.close()


if __name__ == "__main__":
    main()
