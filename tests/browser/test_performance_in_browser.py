from __future__ import annotations

import pytest

from tests.browser.walk import ask, go_to

pytestmark = pytest.mark.browser
CHARTS = (
    "Acceptance by place in the draft",
    "Tokens kept in a round",
    "Draft length along the answer",
    "What a pass over several tokens costs",
    "Where the time went",
    "Memory of the engine",
    "Speed of the answers",
)
# Whether all numbers at axes stand out from a page that is dark, or light, as WCAG 2.2 has it.
WORDS_CAN_BE_READ = """([isDark, least]) => {
  const luminance = color => {
    const whole = color.startsWith("rgb") ? 255 : 1
    const [red, green, blue] = color.match(/[0-9.]+/g).map(part => part / whole)
      .map(share => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const ground = luminance(getComputedStyle(document.querySelector(".stApp")).backgroundColor)
  const words = [...document.querySelectorAll(".js-plotly-plot .xtick text")]
    .map(word => luminance(getComputedStyle(word).fill))
  const contrast = word => (Math.max(word, ground) + 0.05) / (Math.min(word, ground) + 0.05)
  return ground < 0.5 === isDark && words.length && words.every(word => contrast(word) >= least)
}"""


def test_an_answer_is_taken_apart(app, visit):
    with visit(app.url) as page:
        ask(page, "Count from 1 to 20.")
        go_to(page, "Performance")
        page.get_by_role("heading", name="Why was it not faster?").wait_for()
        page.get_by_role("table").get_by_text("the embedded draft").wait_for()
        for title in CHARTS:
            page.get_by_role("heading", name=title).wait_for()
        page.locator(".js-plotly-plot .main-svg").first.wait_for()


def test_an_answer_that_ends_meanwhile_appears_by_itself(app, visit):
    with visit(app.url) as page:
        ask(page, "Count from 1 to 20.")
        go_to(page, "Performance")
        page.get_by_role("table").wait_for()
        chat = page.context.new_page()
        chat.goto(app.url)
        ask(chat, "Count from 1 to 10.")
        page.get_by_role("table").get_by_role("cell", name="2", exact=True).first.wait_for()


def test_words_in_charts_can_be_read_when_the_theme_of_the_system_changes(app, visit):
    with visit(app.url) as page:
        ask(page, "Count from 1 to 20.")
        go_to(page, "Performance")
        for is_dark in (False, True, False):
            page.emulate_media(color_scheme="dark" if is_dark else "light")
            page.wait_for_function(WORDS_CAN_BE_READ, arg=[is_dark, 4.5])
