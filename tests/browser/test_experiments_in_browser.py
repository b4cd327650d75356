from __future__ import annotations

import csv
import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_app_in_browser import ask
from tests.browser.walk import go_to
from tests.served_app import served_app

pytestmark = pytest.mark.browser

COOKIE = "specchat_browser"
SHORT = {"SPECCHAT_SAMPLING__MAX_TOKENS": "24", "SPECCHAT_SAMPLING__SEED": "5"}


@pytest.fixture
def app_with_experiment(chromium, tmp_path):
    """Every browser is to draft, by chance."""
    with served_app(
        SPECCHAT_DATA_FOLDER=str(tmp_path), SPECCHAT_ROLLOUT__SPECULATIVE_PERCENT="100", **SHORT
    ) as app:
        yield app


def browser_id(page):
    return {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}[COOKIE]


def wait_for_answers(page, count):
    page.get_by_text(re.compile(r"tokens/s .* first token")).nth(count - 1).wait_for()


def test_a_rated_answer_is_counted_and_the_stop_switch_reaches_every_browser(
    app_with_experiment, visit, tmp_path
):
    with visit(app_with_experiment.url) as page, visit(app_with_experiment.url) as other:
        page.get_by_text("An experiment chose this by chance").wait_for()
        ask(page, "What is speculative decoding?")
        wait_for_answers(page, 1)
        rating = page.locator("[class*=st-key-rating_]")
        for place in (0, 5):
            rating.get_by_role("radio").nth(place).click()
            expect(rating.get_by_role("radio").nth(place)).to_be_checked()

        go_to(page, "Experiments")
        page.get_by_text("This browser drafts, by chance; its answers count.").wait_for()
        page.get_by_text(re.compile("1 speculative answer, and no standard one")).wait_for()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        (row,) = csv.DictReader(download.value.path().read_text().splitlines())
        assert (row["arm"], row["model"], row["thumb"], row["speed"]) == (
            "speculative",
            "embedded",
            "1",
            "4",
        )
        assert browser_id(page) not in download.value.path().read_text()

        page.get_by_role("button", name="Stop drafting for everyone").click()
        page.get_by_text("Drafting is stopped").wait_for()
        ask(other, "Count from 1 to 12.")
        other.get_by_text(re.compile("tokens/s .* no draft")).wait_for()
        assert browser_id(other) != browser_id(page)


def test_a_browser_is_known_again_after_a_reload_and_in_a_second_tab(app, visit):
    with visit(app.url) as page:
        first = browser_id(page)
        page.reload()
        page.get_by_placeholder("Ask something").wait_for()
        second = page.context.new_page()
        second.goto(app.url)
        second.get_by_placeholder("Ask something").wait_for()
        assert browser_id(second) == first
        assert COOKIE not in page.evaluate("document.cookie"), "no script can read it"
