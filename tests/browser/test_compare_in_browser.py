from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.browser.walk import go_to

pytestmark = pytest.mark.browser

PICTURE = b"\x89PNG\r\n\x1a\n"
SIDE = ".st-key-race_side_a"
LONGER = "([side, than]) => document.querySelector(side)?.innerText.length > than"


def set_number(page, label, count):
    page.get_by_role("spinbutton", name=label).fill(str(count))
    page.keyboard.press("Enter")


def start(page):
    button = page.get_by_test_id("stMain").get_by_role("button", name="Compare")
    button.click()


def save(page, press):
    with page.expect_download() as download:
        press()
    return Path(download.value.path()).read_bytes()


def test_two_ways_race_to_a_verdict_that_can_be_kept(app, visit):
    with visit(app.url) as page:
        go_to(page, "Compare")
        start(page)
        page.get_by_text("All 8 of 8 runs").wait_for()
        page.get_by_text(re.compile("95% interval")).wait_for()
        page.get_by_text(re.compile("all 8 runs wrote the same")).wait_for()

        charts = page.locator(".js-plotly-plot")
        charts.nth(1).locator(".js-line").nth(1).wait_for()
        charts.first.hover()
        press = charts.first.locator("[data-title='Download plot as a PNG']").click
        assert save(page, press).startswith(PICTURE)
        told = json.loads(save(page, page.get_by_role("button", name="JSON").click))
        assert [run["side"] for run in told["runs"]] == list("abbaabba")
        report = save(page, page.get_by_role("button", name="Markdown").click).decode()
        assert "## Verdict" in report


def test_a_running_comparison_outlives_a_reload_and_a_page_switch_and_is_stopped(
    endless_app, visit
):
    with visit(endless_app.url) as page:
        go_to(page, "Compare")
        set_number(page, "Longest answer", 1000)
        start(page)
        page.wait_for_function(LONGER, arg=[SIDE, 120])
        seen = len(page.locator(SIDE).inner_text())

        go_to(page, "Chat")
        go_to(page, "Compare")
        page.wait_for_function(LONGER, arg=[SIDE, seen])
        seen = len(page.locator(SIDE).inner_text())

        second = page.context.new_page()
        second.goto(page.url.replace("/compare", "/"))
        go_to(second, "Compare")
        second.wait_for_function(LONGER, arg=[SIDE, seen])

        page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
        for tab in (page, second):
            tab.get_by_text("Stopped after 1 of 8 runs").wait_for()


def test_a_blind_comparison_on_a_phone_is_voted_on_and_told(app, visit):
    with visit(app.url, width=390, height=844) as page:
        go_to(page, "Compare")
        set_number(page, "Runs each", 1)
        page.get_by_text("Blind", exact=True).click()
        start(page)
        page.get_by_role("button", name="No difference").click()
        page.get_by_text(re.compile("You preferred neither")).wait_for()
        page.get_by_text(re.compile("Identical")).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
