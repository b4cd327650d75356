"""All pages under axe-core: light and dark, wide and narrow, with an answer and all folds open."""

from __future__ import annotations

import json

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from config import RolloutConfig
from tests.browser.walk import ask, compare, go_to, open_folds, wait_until_still
from tests.experiments.simulated import outcome
from tests.ollama_server import OllamaServer
from tests.served_app import served_app
from utils.engine.runtime import LoopThread
from utils.experiments.outcomes import save_outcome
from utils.experiments.rollout import load_rollout
from utils.storage.database import FILE_NAME, Database

pytestmark = pytest.mark.browser

HAS_KEYBOARD = "document.querySelector('[role=dialog]').contains(document.activeElement)"
WIDTHS = (1400, 390)
# What Streamlit draws and leaves no way to change; a rule and the elements that it is excused for.
STREAMLITS_OWN = (
    # What is wider than a phone scrolls. All browsers but Safari let the keyboard do it, and there
    # Streamlit would have to: https://github.com/dequelabs/axe-core/issues/4752.
    ("scrollable-region-focusable", "[data-testid=stCode] pre"),
    ("scrollable-region-focusable", "[data-testid=stTable] *"),
)
FINDINGS = """async ([excused, rules]) => {
  const options = { resultTypes: ["violations"], elementRef: true, preload: false }
  if (rules.length) options.runOnly = rules
  const { violations } = await axe.run(document, options)
  const grave = violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
  return grave.flatMap(({ id, nodes }) => nodes
    .filter(({ element }) => !excused.some(([rule, part]) => rule === id && element.matches(part)))
    .map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`))
}"""
WITH_FAULTS = """<html lang="en"><title>Faults</title>
  <main><button></button><p style="color: #aaa">Too pale</p></main>"""


@pytest.fixture(scope="module")
def full_app(chromium, tmp_path_factory):
    """The app with models of Ollama, and an experiment that some have taken part in."""
    data, store = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("store")
    rollout = RolloutConfig(speculative_percent=100)
    database = Database(data / FILE_NAME)
    load_rollout(database, rollout)
    for number in range(12):
        arm, speed = ("standard", 50.0) if number % 2 else ("speculative", 70.0)
        browser = f"browser {number}"
        known = outcome(browser, arm=arm, browser=browser, tokens_per_second=speed + number)
        save_outcome(database, known)
    database.close()
    server, thread = OllamaServer(), LoopThread("ollama")
    thread.call(server.start()).result(20)
    try:
        with served_app(
            SPECCHAT_DATA_FOLDER=str(data),
            SPECCHAT_ROLLOUT__SPECULATIVE_PERCENT="100",
            SPECCHAT_OLLAMA_URL=server.url,
            SPECCHAT_OLLAMA_STORE=str(store),
            SPECCHAT_SAMPLING__MAX_TOKENS="32",
            SPECCHAT_SAMPLING__SEED="5",
        ) as app:
            yield app
    finally:
        thread.call(server.stop()).result(20)
        thread.close()


def findings(page, *rules):
    """What is wrong on a page as it stands, at each width; without rules by all of them."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wait_until_still(page)
        found += [
            f"at {width} px: {each}" for each in page.evaluate(FINDINGS, [STREAMLITS_OWN, rules])
        ]
        if (needed := page.evaluate("document.documentElement.scrollWidth")) > width:
            found.append(f"at {width} px: {needed} px wide")
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    return found


# Only colours are others in the dark.
@pytest.mark.parametrize(("dark", "rules"), [(False, ()), (True, ("color-contrast",))])
def test_no_page_has_a_serious_finding(full_app, visit, dark, rules):
    with visit(full_app.url, dark=dark) as page:
        page.evaluate(AXE_SCRIPT)
        found = {"Welcome": findings(page, *rules)}
        ask(page, "Write a Python function that reverses a string.")
        open_folds(page)
        found["Chat"] = findings(page, *rules)
        page.keyboard.press("Control+K")
        page.get_by_role("dialog").wait_for()
        found["Search"] = findings(page, *rules)
        # Its field is drawn anew at another width, and takes the keyboard again.
        page.wait_for_function(HAS_KEYBOARD)
        page.keyboard.press("Escape")
        for name in ("Compare", "Experiments", "Performance", "Models"):
            go_to(page, name)
            if name == "Compare":
                compare(page, runs=1)
            open_folds(page)
            found[name] = findings(page, *rules)
        page.get_by_role("button", name="Delete").first.click()
        page.get_by_role("dialog").wait_for()
        found["Deletion"] = findings(page, *rules)
        page.keyboard.press("Escape")
        assert not any(found.values()), json.dumps(found, indent=1)


def test_what_is_wrong_is_found(chromium):
    page = chromium.new_page()
    page.set_content(WITH_FAULTS)
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate(FINDINGS, [STREAMLITS_OWN, []])
    page.close()
    assert {each.split(":")[0] for each in found} == {"button-name", "color-contrast"}
