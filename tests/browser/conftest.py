from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gguf
import pytest
from playwright.sync_api import Page, sync_playwright

from config import ROOT
from models.build.inflate import inflate
from tests.ollama_registry import Registry
from tests.ollama_server import OllamaServer
from tests.served_app import ServedApp, served_app
from tests.tiny_gguf import write_tiny_gguf
from utils.engine.runtime import LoopThread

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# An answer must outlast all that is done meanwhile in the browser, which is the slower of both
# where the machine is busy.
CONTEXT_TOKENS = 4096
# No end of text, by a target that costs fifteen times the embedded one and says the same: answers
# that are long enough to be watched and stopped.
ENDLESS = {
    "SPECCHAT_TARGET_MODEL": "costly",
    # Whether drafting pays here and now is not what these tests are about: it drafts. Nor is which
    # draft would suit best, by the times that are measured when the app starts.
    "SPECCHAT_SPECULATIVE__DRAFT_MODEL": "embedded",
    "SPECCHAT_SPECULATIVE__DRAFT_LENGTH": "fixed",
    "SPECCHAT_SPECULATIVE__ACCEPTANCE_THRESHOLD": "0",
    "SPECCHAT_SAMPLING__LOGIT_BIAS": '{"0": -100, "1": -100, "2": -100}',
    "SPECCHAT_SAMPLING__MAX_TOKENS": str(CONTEXT_TOKENS - 150),
    "SPECCHAT_SAMPLING__SEED": "5",
}


@pytest.fixture(scope="session")
def chromium():
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.fail(f"no Chromium is installed: looked for {', '.join(PROGRAMS)}; install one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def app(chromium):
    with served_app() as app:
        yield app


def let_write(model: Path, context_tokens: int) -> None:
    """Let a model go on for so many tokens, whatever it says after those it was trained for."""
    field = gguf.GGUFReader(model, "r+").get_field("llama.context_length")
    field.parts[field.data[0]][0] = context_tokens


@pytest.fixture(scope="session")
def endless_app(chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    target, costly = ROOT / "models" / "demo-target.gguf", folder / "costly.gguf"
    inflate(target, costly, type_name="F16", dim=1024, layers=12, ffn=2816)
    let_write(costly, CONTEXT_TOKENS)
    with served_app(SPECCHAT_MODEL_FOLDERS=str(folder), **ENDLESS) as app:
        yield app


@dataclass(frozen=True)
class AppWithOllama:
    """The served app, and what Ollama would be: its server and registry, on a loop of their own."""

    app: ServedApp
    registry: Registry
    loop: LoopThread

    def hold_pulls(self) -> None:
        """Stop every pull in its middle."""
        self.loop.loop.call_soon_threadsafe(self.registry.hold)

    def let_pulls_go_on(self) -> None:
        self.loop.loop.call_soon_threadsafe(self.registry.may_go_on.set)


@pytest.fixture
def app_with_ollama(chromium, tmp_path):
    """Ollama has models that are not on this machine, and its registry one that fits in a pocket.

    A folder has a second model for the engine.
    """
    folder = tmp_path / "models"
    folder.mkdir()
    write_tiny_gguf(folder / "pocket.gguf", context=1024)
    thread = LoopThread("ollama")

    async def open_server() -> Registry:
        server = await OllamaServer().__aenter__()
        registry = Registry(server, tmp_path / "store")
        registry.add("tale", write_tiny_gguf(tmp_path / "tale.gguf", context=1024).read_bytes())
        return registry

    registry = thread.call(open_server()).result(10)
    try:
        with served_app(
            SPECCHAT_OLLAMA_URL=registry.server.url,
            SPECCHAT_OLLAMA_STORE=str(registry.store),
            SPECCHAT_MODEL_FOLDERS=str(folder),
            SPECCHAT_CACHE_FOLDER=str(tmp_path / "cache"),
            SPECCHAT_SAMPLING__MAX_TOKENS="24",
        ) as app:
            yield AppWithOllama(app, registry, thread)
    finally:
        thread.call(registry.server.stop()).result(10)
        thread.close()


@pytest.fixture
def visit(chromium):
    """Opens the app; at the end nothing may have failed or been asked of another host."""

    @contextmanager
    def visit(url: str, *, width=1400, height=900, dark=False) -> Iterator[Page]:
        complaints: list[str] = []
        scheme = "dark" if dark else "light"
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        context.set_default_timeout(60_000)
        context.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((url, "data:", "blob:"))
                else complaints.append(f"request to {request.url}")
            ),
        )
        context.on(
            "console",
            lambda message: complaints.append(message.text) if message.type == "error" else None,
        )
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        page.get_by_placeholder("Ask something").wait_for()
        yield page
        context.close()
        assert complaints == []

    return visit
