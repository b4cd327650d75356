"""How fast the chat page is, in Chromium, with a long conversation and a long answer being written.

`python -m benchmarks.pages`. All is real but the answers: the app, its server, the browser.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.scripted_app import READY, RUNS_FILE
from config import ROOT

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu")
CLICKS = 8
PAUSE_MS, SETTLING_MS = 300, 1500
WATCH_S = 8.0
# Time from a click until its effect is painted, as the browser sees it: what comes first after the
# frame that follows the effect.
TIME_CLICK = """async ([place, label, effect, wanted]) => {
  const found = [...document.querySelectorAll(place)]
  const button = found.filter((one) => !label || one.textContent.trim() === label).at(-1)
  const is = () => !!document.querySelector(effect) === wanted
  const begin = performance.now()
  await new Promise((resolve, reject) => {
    const watcher = new MutationObserver(() => { if (is()) { watcher.disconnect(); resolve() } })
    watcher.observe(document.body, { childList: true, subtree: true, attributes: true })
    setTimeout(() => reject(new Error(`no effect of ${place}`)), 10000)
    button.click()
  })
  await new Promise((painted) => {
    requestAnimationFrame(() => scheduler.postTask(painted, { priority: "user-blocking" }))
  })
  return performance.now() - begin
}"""
# The same of a click on a chat: one of its questions is there.
TIME_CHAT = """async ([place, words]) => {
  const is = () => {
    const shown = document.querySelectorAll('[class*="st-key-question_"]')
    return [...shown].some((one) => one.textContent.includes(words))
  }
  const begin = performance.now()
  await new Promise((resolve, reject) => {
    const watcher = new MutationObserver(() => { if (is()) { watcher.disconnect(); resolve() } })
    watcher.observe(document.body, { childList: true, subtree: true, characterData: true })
    setTimeout(() => reject(new Error(`no effect of ${place}`)), 10000)
    document.querySelector(place).click()
  })
  await new Promise((painted) => {
    requestAnimationFrame(() => scheduler.postTask(painted, { priority: "user-blocking" }))
  })
  return performance.now() - begin
}"""
# How often the text of the last answer changes, and the longest time that nothing could be drawn.
WATCH = """async (ms) => {
  const answers = () => document.querySelectorAll('[aria-label="Chat message from assistant"]')
  const begin = performance.now()
  let changes = 0, length = -1, slowest = 0, before = begin
  while (performance.now() - begin < ms) {
    await new Promise(requestAnimationFrame)
    const now = performance.now()
    slowest = Math.max(slowest, now - before)
    before = now
    const found = [...answers()].at(-1)?.textContent.length ?? 0
    if (found !== length) { changes += 1; length = found }
  }
  return [changes / (performance.now() - begin) * 1000, slowest, length]
}"""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds: the median, and the longest."""

    usual_ms: float
    slowest_ms: float


@dataclass(frozen=True, slots=True)
class PageFigures:
    """What was measured: by interaction, without and with the answer being written, and of runs."""

    messages: int
    answer_chars: int
    open_ms: float
    idle: dict[str, Times]
    streaming: dict[str, Times]
    script: Times
    script_cpu: Times
    fragment: Times
    flushes_per_s: float
    slowest_frame_ms: float
    received_bytes_per_s: float


def measure_pages(*, messages: int, tokens: int, tokens_per_s: float) -> PageFigures:
    """Open the conversation, click, have a long answer written, and click again."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise SystemExit(f"no Chromium is installed: looked for {', '.join(PROGRAMS)}; install one")
    with (
        _served(messages=messages, tokens=tokens, tokens_per_s=tokens_per_s) as (url, runs),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        received = _count_bytes(page)
        page.goto(url)
        page.get_by_role("button", name="Regenerate").wait_for()
        open_ms = page.evaluate("performance.now()")
        page.wait_for_timeout(SETTLING_MS)
        idle = {name: time_clicks(page) for name, time_clicks in INTERACTIONS.items()}
        page.get_by_placeholder("Ask something").fill("Write 20,000 tokens.")
        page.keyboard.press("Enter")
        page.wait_for_function(
            "[...document.querySelectorAll('[data-testid=stChatMessage]')].at(-1)"
            f".textContent.length > {2 * tokens}"
        )
        runs.write_text("")
        before = sum(received)
        rate, slowest, length = page.evaluate(WATCH, 1000 * WATCH_S)
        bytes_per_s = (sum(received) - before) / WATCH_S
        fragments = [run["ms"] for run in _read_runs(runs) if run["is_fragment"]]
        busy = {
            name: time_clicks(page)
            for name, time_clicks in INTERACTIONS.items()
            if name not in NOT_WHILE_STREAMING
        }
        scripts = [run for run in _read_runs(runs) if not run["is_fragment"]]
        page.get_by_role("button", name="Stop").wait_for()
        browser.close()
    return PageFigures(
        messages,
        int(length),
        open_ms,
        idle,
        busy,
        _times([run["ms"] for run in scripts]),
        _times([run["cpu_ms"] for run in scripts]),
        _times(fragments),
        rate,
        slowest,
        bytes_per_s,
    )


def _times(measured_ms: Sequence[float]) -> Times:
    return Times(median(measured_ms), max(measured_ms))


def _time_setting(page: Any) -> Times:
    """Choose a fixed draft length and the adaptive one in turn."""
    slider, choice = ".st-key-setting_max_draft_tokens", ".st-key-setting_draft_length"
    page.locator(choice).get_by_text("Fixed").wait_for()
    times: list[float] = []
    for click in range(CLICKS):
        label, is_there = (("Fixed", True), ("Adaptive", False))[click % 2]
        times.append(page.evaluate(TIME_CLICK, [f"{choice} *", label, slider, is_there]))
        page.wait_for_timeout(PAUSE_MS)
    return _times(times)


def _time_fold(page: Any) -> Times:
    """Open the details of an earlier answer, and close them."""
    name = _key_of(page.locator('[class*="st-key-details_"]').first, "details_")
    effect = f"{name} [data-testid='stText']"
    times: list[float] = []
    for _ in range(CLICKS // 2):
        times.append(page.evaluate(TIME_CLICK, [f"{name} summary", "", effect, True]))
        page.wait_for_timeout(PAUSE_MS)
        page.locator(f"{name} summary").evaluate("summary => summary.click()")
        page.locator(effect).first.wait_for(state="detached")
        page.wait_for_timeout(PAUSE_MS)
    return _times(times)


def _time_edit(page: Any) -> Times:
    """Open a question for editing, and leave it as it is."""
    name = _key_of(page.locator('[class*="st-key-question_"]').first, "question_")
    times: list[float] = []
    for _ in range(CLICKS // 2):
        effect = f"{name} textarea"
        button = f"{name} [class*='st-key-quiet_edit_'] button"
        times.append(page.evaluate(TIME_CLICK, [button, "", effect, True]))
        page.wait_for_timeout(PAUSE_MS)
        page.get_by_role("button", name="Cancel").click()
        page.locator(effect).wait_for(state="detached")
        page.wait_for_timeout(PAUSE_MS)
    return _times(times)


def _time_chat(page: Any) -> Times:
    """Open another chat and come back, in turn."""
    rows = page.locator('[class*="st-key-select_chat_"]')
    chats = [
        (_key_of(rows.filter(has_text=f"about {about}?").first, "select_"), f"about {about}?")
        for about in ("thing 27", "everything")
    ]
    times: list[float] = []
    for click in range(CLICKS // 2):
        row, words = chats[click % 2]
        times.append(page.evaluate(TIME_CHAT, [f"{row} button", words]))
        page.wait_for_timeout(SETTLING_MS)
    return _times(times)


def _key_of(element: Any, part: str) -> str:
    """Return the selector of an element by the key that it has in the page."""
    classes = element.get_attribute("class").split()
    return f".{next(one for one in classes if f'st-key-{part}' in one)}"


INTERACTIONS: dict[str, Callable[[Any], Times]] = {
    "a setting is changed": _time_setting,
    "details of an answer are unfolded": _time_fold,
    "a question is opened for editing": _time_edit,
    "another chat is opened": _time_chat,
}
# Nothing is edited meanwhile.
NOT_WHILE_STREAMING = ("a question is opened for editing",)


def _count_bytes(page: Any) -> list[int]:
    received: list[int] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda payload: received.append(len(payload))),
    )
    return received


def _read_runs(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in runs.read_text().splitlines()]


@contextmanager
def _served(**wanted: float) -> Iterator[tuple[str, Path]]:
    """Start the app with a long conversation; its address, and the file of its script runs."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs.jsonl"
        environment = {
            **os.environ,
            "SPECCHAT_DATA_FOLDER": folder,
            "SPECCHAT_SAMPLING__MAX_TOKENS": "131072",
            RUNS_FILE: str(runs),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scripted_app", json.dumps(wanted)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield _address(process), runs
            finally:
                process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    for line in process.stdout or ():
        if line.startswith(READY):
            return line.removeprefix(READY).strip()
    raise SystemExit("the app ended before it was ready: see what it wrote above")


def _said(times: Times) -> str:
    return f"{times.usual_ms:.0f} ms (slowest {times.slowest_ms:.0f})"


def as_markdown(figures: PageFigures) -> str:
    """Return the figures as a table."""
    rows = [
        ("page opened", f"{figures.open_ms:.0f} ms"),
        *((name, _said(times)) for name, times in figures.idle.items()),
        *((f"{name}, while writing", _said(times)) for name, times in figures.streaming.items()),
        ("script run, whole page", _said(figures.script)),
        ("of that the processor, whatever else runs", _said(figures.script_cpu)),
        ("script run, text or charts", _said(figures.fragment)),
        ("text drawn anew", f"{figures.flushes_per_s:.1f} times a second"),
        ("slowest frame", f"{figures.slowest_frame_ms:.0f} ms"),
        ("received", f"{figures.received_bytes_per_s / 1000:.0f} kB/s"),
    ]
    head = f"| {figures.messages} messages, answer of {figures.answer_chars:,} characters | |"
    return "\n".join([head, "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--tokens-per-s", type=float, default=100.0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    figures = measure_pages(
        messages=options.messages, tokens=options.tokens, tokens_per_s=options.tokens_per_s
    )
    print(json.dumps(asdict(figures)) if options.json else as_markdown(figures))


if __name__ == "__main__":
    main()
