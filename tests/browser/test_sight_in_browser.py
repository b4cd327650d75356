"""What a click begins is seen without scrolling, and what stands side by side stands level."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.walk import ask, go_to, wait_until_still

pytestmark = pytest.mark.browser

IN_VIEW = """selectors => selectors.every(selector => {
  const box = document.querySelector(selector)?.getBoundingClientRect()
  const bar = document.querySelector("[data-testid=stHeader]").getBoundingClientRect()
  return box && box.top >= bar.bottom && box.bottom <= innerHeight
})"""
# All corners, a little inside: nothing hides them, and no click ends there.
SEES_AND_LETS_THROUGH = """label => {
  const box = label.getBoundingClientRect()
  const corners = [box.left + 4, box.right - 4].flatMap(
    x => [box.top + 4, box.bottom - 4].map(y => [x, y]))
  const isOnTop = () => corners.map(([x, y]) => label.contains(document.elementFromPoint(x, y)))
  const takesClicks = isOnTop()
  label.style.pointerEvents = "auto"
  const isSeen = isOnTop()
  label.style.pointerEvents = ""
  return isSeen.every(Boolean) && !takesClicks.some(Boolean)
}"""
RACE = (".st-key-race_stop", "[data-testid=stProgress]")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 720)])
def test_a_comparison_that_begins_is_seen_with_its_stop_button(endless_app, visit, width, height):
    with visit(endless_app.url, width=width, height=height) as page:
        go_to(page, "Compare")
        assert not page.evaluate(IN_VIEW, RACE)
        page.get_by_test_id("stMain").get_by_role("button", name="Compare").click()
        page.wait_for_function(IN_VIEW, arg=RACE)
        page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped after").wait_for()


def middle(page, selector):
    box = page.locator(selector).first.bounding_box()
    return box["y"] + box["height"] / 2


def test_the_context_meter_and_a_question_stand_level_with_what_is_beside_them(app, visit):
    with visit(app.url) as page:
        ask(page, "Count from 1 to 5.")
        meter = ".st-key-context_meter"
        bar = middle(page, f"{meter} [role=progressbar]")
        assert bar == pytest.approx(middle(page, f"{meter} p"), abs=1.5)
        question = "[class*=st-key-question_]"
        avatar = middle(page, f"{question} [data-testid=stChatMessageAvatarCustom]")
        assert avatar == pytest.approx(middle(page, f"{question} [data-testid=stText]"), abs=1.5)


def test_an_icon_tells_what_it_does_to_who_points_at_it(app, visit):
    with visit(app.url) as page:
        ask(page, "Count from 1 to 5.")
        ask(page, "Count from 1 to 6.")
        for name in ("Edit", "Answer again"):
            button = page.get_by_role("button", name=name).locator("visible=true").first
            label = button.get_by_test_id("stMarkdownContainer")
            page.mouse.move(0, 0)
            assert label.bounding_box()["width"] <= 1
            button.scroll_into_view_if_needed()
            # What moves leaves the pointer behind.
            wait_until_still(page)
            button.hover()
            expect(label).to_have_css("clip-path", "none")
            assert label.evaluate(SEES_AND_LETS_THROUGH)
