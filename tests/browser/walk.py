"""A walk through the pages, for whoever looks at all of them."""

from __future__ import annotations

import re

from playwright.sync_api import Page

NARROW = 640
IS_DRAWN = "document.querySelector('.stApp').dataset.testScriptState === 'notRunning'"
# What moves without end, as a sign that something goes on, is not waited for.
IS_STILL = """document.getAnimations().every(({ effect, playState }) =>
  playState !== "running" || effect?.getComputedTiming().endTime === Infinity)"""
OPEN_FOLDS = """() => {
  const closed = document.querySelectorAll("[data-testid=stExpander] details:not([open]) > summary")
  closed.forEach(fold => fold.click())
  return closed.length === 0
}"""


def wait_until_drawn(page: Page) -> None:
    """Wait until the script of the page has come to its end."""
    page.wait_for_function(IS_DRAWN)


def wait_until_still(page: Page) -> None:
    """Wait until all is drawn and at its place."""
    wait_until_drawn(page)
    page.wait_for_function(IS_STILL)


def ask(page: Page, question: str) -> None:
    """Ask, and wait for the end of the answer."""
    answered = page.get_by_test_id("stExpander").filter(has_text=re.compile("tokens/s"))
    before = answered.count()
    page.get_by_placeholder("Ask something").fill(question)
    page.keyboard.press("Enter")
    answered.nth(before).wait_for()
    page.get_by_role("button", name="Regenerate").wait_for()
    wait_until_drawn(page)


def go_to(page: Page, name: str) -> None:
    """Open a page by its link, which narrow screens have in the sidebar."""
    is_narrow = page.viewport_size is not None and page.viewport_size["width"] < NARROW
    if is_narrow:
        page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name=name, exact=True).click()
    if name == "Chat":
        page.get_by_placeholder("Ask something").wait_for()
    else:
        page.get_by_role("heading", name=name, exact=True).wait_for()
    if is_narrow:
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
    wait_until_drawn(page)


def compare(page: Page, *, runs: int, question: str = "Count from 1 to 20.") -> None:
    """Compare two ways to answer, on their page, and wait for the verdict."""
    page.get_by_role("textbox", name="Prompt", exact=True).fill(question)
    page.get_by_role("spinbutton", name="Runs each").fill(str(runs))
    page.keyboard.press("Enter")
    page.get_by_test_id("stMain").get_by_role("button", name="Compare").click()
    page.get_by_text(f"All {2 * runs} of {2 * runs} runs").wait_for()
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    wait_until_drawn(page)


def open_folds(page: Page) -> None:
    """Open all folds, also those inside of others."""
    page.wait_for_function(OPEN_FOLDS, polling=300)
    wait_until_drawn(page)
