"""A server that speaks Ollama's protocol, answers as a real one did, and fails on demand.

The answers are recordings in `tests/data/ollama/`, each naming the version it came from; with a
model, that model writes them. A `Fault` can be set for every route; it says what goes wrong there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tests.ollama_model import OllamaModel
from tests.ollama_reply import JSON, LINES, Fault, Lines, Reply

FOLDER = Path(__file__).resolve().parent / "data" / "ollama"
MODELS = ("demo:latest", "demo-draft:latest", "demo-thinker:latest")

Route = Literal[
    "version", "tags", "show", "ps", "chat", "generate", "pull", "delete", "copy", "render"
]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came in."""

    route: Route
    body: dict[str, Any]


@cache
def recorded(name: str) -> dict[str, Any]:
    """Return a recording."""
    record: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return record


@dataclass
class OllamaServer:
    """`async with OllamaServer() as server`: listens at `server.url` until left.

    `faults` holds for a route until taken out, `faults_once` for its next answer. `lines` replaces
    what a route streams, and so does `model`, which is not closed here, and `pulling` for a pull
    by its name. `was_asked` is set by the first request, `hung_up` by a client that left.
    """

    faults: dict[Route, Fault] = field(default_factory=dict)
    faults_once: dict[Route, Fault] = field(default_factory=dict)
    lines: dict[Route, list[str]] = field(default_factory=dict)
    models: set[str] = field(default_factory=lambda: set(MODELS))
    asked: list[Asked] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    running: set[str] = field(default_factory=set)
    model: OllamaModel | None = None
    pulling: Callable[[str], Lines] | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> OllamaServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[Any]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Go down, in the middle of whatever is being answered."""
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def start(self) -> None:
        """Come up again at the same address."""
        await self.__aenter__()

    def asked_of(self, route: Route) -> list[dict[str, Any]]:
        """Return the bodies of the requests for a route."""
        return [asked.body for asked in self.asked if asked.route == route]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        route, body = await _read_request(reader)
        self.asked.append(Asked(route, body))
        self.was_asked.set()
        fault = self.faults_once.pop(route, None) or self.faults.get(route)
        watcher = asyncio.create_task(self._watch(reader))
        try:
            status, kind, lines = self._reply(route, body)
            reply = Reply(writer, status, kind, lines, fault)
            await reply.send()
            if route == "pull" and self.pulling is None and reply.is_whole:
                self.models.add(_full_name(body))
        finally:
            watcher.cancel()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        await reader.read()
        self.hung_up.set()

    def _reply(self, route: Route, body: dict[str, Any]) -> tuple[int, str, Lines]:
        full_name = _full_name(body)
        if route not in ("pull", "version", "tags", "ps") and full_name not in self.models:
            missing = body.get("model") or body.get("source")
            return 404, JSON, [json.dumps({"error": f"model '{missing}' not found"})]
        match route:
            case "tags":
                return self._models("tags", self.models)
            case "ps":
                return self._models("ps", self.running)
            case "copy":
                self.models.add(_full_name({"model": body["destination"]}))
            case "delete":
                self.models.discard(full_name)
                self.running.discard(full_name)
            case "generate" if body.get("keep_alive") == 0:
                self.running.discard(full_name)
                return _recording("unload")
            case "chat" | "generate":
                self.running.add(full_name)
        if self.model is not None and route in ("chat", "generate", "render"):
            kind = JSON if route == "render" else LINES
            return 200, kind, self.lines.get(route) or self.model.lines(route, body)
        if self.pulling is not None and route == "pull":
            return 200, LINES, self.pulling(full_name)
        thinks = (route, full_name) == ("chat", "demo-thinker:latest")
        status, kind, lines = _recording("chat_thinking" if thinks else route)
        return status, kind, self.lines.get(route, lines)

    def _models(self, name: str, names: set[str]) -> tuple[int, str, Lines]:
        first = json.loads(recorded(name)["lines"][0])["models"][0]
        models = [{**first, "name": each, "model": each} for each in sorted(names)]
        return 200, JSON, [json.dumps({"models": models})]


def _full_name(body: dict[str, Any]) -> str:
    name = str(body.get("model") or body.get("source") or "demo")
    return name if ":" in name else f"{name}:latest"


def _recording(name: str) -> tuple[int, str, Lines]:
    record = recorded(name)
    return record["status"], record["content_type"], record["lines"]


async def _read_request(reader: asyncio.StreamReader) -> tuple[Route, dict[str, Any]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *headers = head.split("\r\n")
    length = next(
        (int(h.split(":")[1]) for h in headers if h.lower().startswith("content-length")), 0
    )
    body = json.loads(await reader.readexactly(length) or b"{}")
    route = first.split()[1].rpartition("/")[2]
    return ("render" if body.get("_debug_render_only") else route), body
