"""A thought in a real browser: folded, and left as the user left it while it is redrawn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from config import ROOT
from tests import ollama_reply
from tests.ollama_server import OllamaServer
from tests.served_app import ServedApp, start
from utils.engine.runtime import LoopThread

pytestmark = pytest.mark.browser

THOUGHT = ["Two ", "and ", "two: ", "one, ", "two, ", "three, ", *["and "] * 60, "four."]
ANSWER = ["Four", ", ", "I ", "think", *["."] * 20]
FOLD = "[data-testid=stChatMessage] [data-testid=stExpander] details"
# What a person would see between two redraws.
WATCH = """fold => {
  window.states = new Set();
  window.gone = 0;
  const look = () => {
    const found = document.querySelector(fold);
    if (found) window.states.add(String(found.open)); else window.gone += 1;
    window.watching = requestAnimationFrame(look);
  };
  look();
}"""


def line(**message: str) -> str:
    return json.dumps({"message": {"role": "assistant", **message}, "done": False})


LINES = [
    *(line(content="", thinking=word) for word in THOUGHT),
    *(line(content=word) for word in ANSWER),
    json.dumps({"message": {"role": "assistant"}, "done": True, "eval_count": 90}),
]


@pytest.fixture(scope="module")
def thinker() -> Iterator[str]:
    """An Ollama server that thinks before it answers, in a thread of its own; its address."""
    server, thread = OllamaServer(), LoopThread("ollama")
    server.lines["chat"], server.faults["chat"] = LINES, "slow"
    thread.call(server.start()).result(20)
    with pytest.MonkeyPatch.context() as patch:
        # Slow enough for somebody to look and click while it thinks.
        patch.setattr(ollama_reply, "SLOW_S", 0.06)
        yield server.url
    thread.call(server.stop()).result(20)
    thread.close()


@pytest.fixture(scope="module")
def app(thinker, tmp_path_factory) -> Iterator[ServedApp]:
    """The app with a target that only Ollama can answer for: its own file is cut off."""
    folder = tmp_path_factory.mktemp("models")
    whole = (ROOT / "models" / "demo-target.gguf").read_bytes()
    (folder / "broken.gguf").write_bytes(whole[: len(whole) // 2])
    process, port = start(
        SPECCHAT_OLLAMA_URL=thinker,
        SPECCHAT_OLLAMA_MODEL="demo-thinker",
        SPECCHAT_TARGET_MODEL="broken",
        SPECCHAT_MODEL_FOLDERS=str(folder),
    )
    with process:
        app = ServedApp(process, f"http://127.0.0.1:{port}")
        try:
            app.wait_until(lambda status, _: status != 0)
            yield app
        finally:
            process.terminate()
            process.communicate(timeout=15)


def test_a_thought_is_folded_and_stays_as_the_user_left_it(app, visit):
    with visit(app.url) as page:
        page.get_by_placeholder("Ask something").fill("What is two and two?")
        page.keyboard.press("Enter")
        page.get_by_text("Thinking").wait_for()
        assert page.locator(FOLD).first.get_attribute("open") is None

        page.get_by_text("Thought", exact=True).click()
        page.get_by_text("one, two, three").wait_for()
        page.evaluate(WATCH, FOLD)
        page.get_by_text(re.compile("^Thought for")).wait_for()
        page.get_by_text("Four, I think").wait_for()
        page.get_by_role("button", name="Regenerate").wait_for()
        # It is the same fold all the time.
        assert page.evaluate("[...window.states]") == ["true"]
        assert page.evaluate("window.gone") == 0
        assert page.locator(FOLD).first.get_attribute("open") is not None

        page.get_by_text("Thought", exact=True).click()
        page.get_by_text("one, two, three").wait_for(state="hidden")
        page.get_by_text("Four, I think").wait_for()
        page.get_by_text(re.compile("tokens/s .* Ollama \\(demo-thinker\\)")).click()
        page.get_by_text("Ollama's own count").wait_for()
        page.get_by_text("No speedup is claimed").wait_for()
