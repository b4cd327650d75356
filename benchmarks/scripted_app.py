"""The app with a conversation in it and answers from a script, for whoever measures its pages."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import SamplingParams, SpeculativeConfig
from pages.parts import browser
from utils.chat.conversation import AnswerSettings, Conversation
from utils.chat.jobs import get_board
from utils.chat.shelf import get_shelf
from utils.engine.runtime import get_engine
from utils.events import Event, Finished, Mode, Prefilled, Started, Token, Tokens, TokenSource
from utils.performance_monitor import Baseline, PerformanceMonitor, RoundStats

READY = "ready: "
RUNS_FILE = "SPECCHAT_BENCHMARK_RUNS"
BASELINE = Baseline(60.0, "calibration", 16)
SHORT_TOKENS = 150
# So many tokens of a long answer come as time goes on, all before them at once.
SLOW_TOKENS = 6000
OTHER_CHATS, SHORT_TURNS = 29, 2
OWNER = "whoever-measures-pages"
ROUND_TOKENS = 4
TEXT = """## A heading

A paragraph of several sentences, with **bold** and *leaning* words, `code`, and a formula $x^2$.
It goes on for a while, as paragraphs of answers do, and comes to its end here.

- one thing to think of
- another thing to think of

```python
def double(value: int) -> int:
    return 2 * value
```

| name | value |
| --- | --- |
| first | 1 |
| second | 2 |

"""


@dataclass(frozen=True, slots=True)
class ScriptedAnswers:
    """Answers every short question at once, and those with a number in `tokens`, at a rate."""

    tokens: int
    tokens_per_s: float

    async def generate(self, messages: Any, **_: Any) -> AsyncGenerator[Event]:
        """Write the same Markdown again and again."""
        is_long = "tokens" in messages[-1].content
        count = self.tokens if is_long else SHORT_TOKENS
        monitor = PerformanceMonitor(BASELINE, prompt_tokens=900, ttft_s=0.02)
        yield Started(900, 880, 7, BASELINE)
        yield Prefilled(900, 900)
        yield Mode("speculative", "embedded", "")
        for start in range(0, count, ROUND_TOKENS):
            tokens = _round(start)
            monitor.extend(tokens.rounds)
            yield tokens
            if is_long and start > count - SLOW_TOKENS:
                await asyncio.sleep(ROUND_TOKENS / self.tokens_per_s)
            elif start % 400 == 0:
                await asyncio.sleep(0)
        yield Finished("stop", monitor.result())


def _round(start: int) -> Tokens:
    """Return a round of tokens, each four characters of the text."""
    places = [(4 * n) % len(TEXT) for n in range(start, start + ROUND_TOKENS)]
    sources: tuple[TokenSource, ...] = ("accepted", "accepted", "accepted", "bonus")
    tokens = tuple(
        Token(n, TEXT[place : place + 4], source, 0.01 * n)
        for n, (place, source) in enumerate(zip(places, sources, strict=True), start)
    )
    stats = RoundStats("embedded", 3, 3, ROUND_TOKENS, 0.002, 0.01, 0.013, ROUND_TOKENS - 1)
    return Tokens(tokens, (stats,), BASELINE)


def _fill(turns: int, about: str) -> Conversation:
    """Have a conversation, and keep it."""
    conversation = Conversation(owner=OWNER)
    settings = AnswerSettings(SamplingParams(), SpeculativeConfig())
    for number in range(turns):
        question = f"Question {number + 1} about {about}?"
        job = conversation.ask(question, settings, board=get_board(), runtime=get_engine())
        job.wait(30)
    get_shelf().put(conversation)
    return conversation


def _note_runs(path: Path) -> None:
    """Have every run of a script write down how long it took, and of that the processor."""
    from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

    run_script = ScriptRunner._run_script

    def run_and_note(runner: ScriptRunner, data: Any) -> None:
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        run_script(runner, data)
        cpu_ms = 1000 * (time.thread_time() - begin_cpu)
        ms = 1000 * (time.perf_counter() - begin)
        noted = {"ms": ms, "cpu_ms": cpu_ms, "is_fragment": bool(data.fragment_id_queue)}
        with path.open("a") as file:
            file.write(json.dumps(noted) + "\n")

    ScriptRunner._run_script = run_and_note


def _announce(url: str, conversation: Conversation) -> None:
    """Say where the conversation is, once the app can answer."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:  # noqa: S310
                if json.load(reply)["ready"]:
                    break
        except OSError:
            pass  # nobody listens yet
        time.sleep(0.1)
    print(f"{READY}{url}/?chat={conversation.id}", flush=True)


def main() -> None:
    """Serve the app until it is ended."""
    from streamlit.web import cli

    wanted = json.loads(sys.argv[1])
    get_engine().answers = ScriptedAnswers(int(wanted["tokens"]), wanted["tokens_per_s"])
    for number in range(OTHER_CHATS):
        _fill(SHORT_TURNS, f"thing {number + 1}")
    conversation = _fill(int(wanted["messages"]) // 2, "everything")
    browser.browser_id = lambda: OWNER
    _note_runs(Path(os.environ[RUNS_FILE]))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    threading.Thread(
        target=_announce, args=(f"http://127.0.0.1:{port}", conversation), daemon=True
    ).start()
    sys.argv = ["streamlit", "run", "app.py", "--server.port", str(port)]
    cli.main()


if __name__ == "__main__":
    main()
