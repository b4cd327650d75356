"""A screen of 3840 px: lines stay short enough to be read, and the page stays in the middle."""

from __future__ import annotations

import pytest

from tests.browser.walk import ask, compare, go_to, wait_until_drawn

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 3840, 2160
WIDEST_BLOCK, WIDEST_LINE = 1600, 800
LONG = "Tell me in how many ways a word can be guessed from those before it. " * 12
# Prose alone: code and tables are as wide as they are, and charts are pictures.
LINES = """() => {
  const walker = document.createTreeWalker(
    document.querySelector(".stMain"), NodeFilter.SHOW_TEXT)
  const widths = []
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest("pre, table, svg, style, script, textarea")) continue
    const range = document.createRange()
    range.selectNodeContents(node)
    const width = Math.max(0, ...[...range.getClientRects()].map(rect => rect.width))
    widths.push([Math.round(width), node.textContent.trim().slice(0, 40)])
  }
  return widths.sort((one, other) => other[0] - one[0]).slice(0, 3)
}"""
BLOCKS = """() => {
  const around = document.querySelector(".stMain").getBoundingClientRect()
  const names = "[data-testid=stMainBlockContainer], [data-testid=stBottomBlockContainer]"
  return [...document.querySelectorAll(names)].map(block => {
    const { left, right, width } = block.getBoundingClientRect()
    return [width, left - around.left, around.right - right]
  })
}"""


def check(page):
    wait_until_drawn(page)
    blocks = page.evaluate(BLOCKS)
    assert blocks
    for width, left, right in blocks:
        assert width <= WIDEST_BLOCK
        assert abs(left - right) < 20
    lines = page.evaluate(LINES)
    assert lines[0][0] <= WIDEST_LINE, lines
    return lines


def test_no_line_is_too_long_to_read_on_a_wide_screen(app, visit):
    with visit(app.url, width=WIDTH, height=HEIGHT) as page:
        check(page)
        ask(page, LONG)
        # The question takes several lines: else none would be as long as it may be.
        assert check(page)[0][0] > WIDEST_LINE / 2
        go_to(page, "Compare")
        compare(page, runs=1, question=LONG)
        check(page)
        for name in ("Experiments", "Performance", "Models"):
            go_to(page, name)
            check(page)
