"""The app as a person starts it, with a target that Ollama has to pull first."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ollama_registry import Registry
from tests.ollama_server import OllamaServer
from tests.served_app import ServedApp, start
from tests.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.usefixtures("unmeasured_children")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with OllamaServer() as server:
        registry = Registry(server, tmp_path / "store")
        registry.add("tale", write_tiny_gguf(tmp_path / "tale.gguf", context=512).read_bytes())
        yield registry


@pytest.fixture
async def app(registry: Registry, tmp_path: Path) -> AsyncIterator[ServedApp]:
    registry.hold()
    process, port = start(
        SPECCHAT_TARGET_MODEL="tale",
        SPECCHAT_OLLAMA_URL=registry.server.url,
        SPECCHAT_OLLAMA_STORE=str(registry.store),
        SPECCHAT_CACHE_FOLDER=str(tmp_path / "cache"),
        SPECCHAT_THREADS="1",
    )
    yield ServedApp(process, f"http://127.0.0.1:{port}")
    assert "Traceback" not in await end(process)


async def end(process: subprocess.Popen[str]) -> str:
    """End the app as a person does, while the server goes on answering it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    if process.stdout is None or process.stdout.closed:
        return ""
    output, _ = await asyncio.to_thread(process.communicate, timeout=15)
    return output


async def test_health_tells_of_the_pull_until_the_pulled_target_answers(registry, app):
    meanwhile = await asyncio.to_thread(app.wait_until, _is_usable_meanwhile)
    assert meanwhile["live"]
    assert meanwhile["pulls"][0]["name"] == "tale:latest"
    assert "answering with the embedded pair meanwhile" in meanwhile["reason"]

    registry.may_go_on.set()
    after = await asyncio.to_thread(app.wait_until, lambda _, health: health.get("ready", False))
    assert [pull["state"] for pull in after["pulls"]] == ["done"]
    assert after["reason"] == ""
    assert after["model"] != meanwhile["model"]


async def test_an_app_that_ends_amid_a_pull_hangs_up_and_leaves_nothing_waiting(registry, app):
    await asyncio.to_thread(app.wait_until, _is_usable_meanwhile)
    assert "Traceback" not in await end(app.process)
    assert app.process.returncode in (0, -signal.SIGTERM)
    await asyncio.wait_for(registry.server.hung_up.wait(), 10)


def _is_usable_meanwhile(status: int, health: dict) -> bool:
    pulls = health.get("pulls", [])
    is_halfway = bool(pulls) and pulls[0]["total_bytes"] == 2 * pulls[0]["done_bytes"] > 0
    return is_halfway and status == 200 and health["state"] == "ready" and not health["ready"]
