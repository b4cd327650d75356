"""A server that speaks Ollama's protocol, answers as a real one did, and fails on demand.

The answers are recordings in `tests/data/ollama/`, each naming the version it came from. A `Fault`
can be set for every route; it says what goes wrong with the next answers there.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

FOLDER = Path(__file__).resolve().parent / "data" / "ollama"
LINES = "application/x-ndjson"
JSON = "application/json; charset=utf-8"
TOO_LONG_BYTES = 9 * 2**20
SLOW_S = 0.01

MODELS = ("demo:latest", "demo-draft:latest", "demo-thinker:latest")

Route = Literal[
    "version", "tags", "show", "ps", "chat", "generate", "pull", "delete", "copy", "render"
]
Fault = Literal[
    "no answer",
    "not http",
    "status 404",
    "status 500",
    "status 503",
    "redirect",
    "error line",
    "cut off",
    "bad json",
    "blank line",
    "list line",
    "null line",
    "wrong types",
    "wrong numbers",
    "deep json",
    "no end",
    "silent",
    "silent midway",
    "dripping",
    "slow",
    "packed",
    "too long",
    "disk full",
    "digest mismatch",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
_STATUS = {404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}
_ERRORS = {
    "status 404": (404, "model 'demo' not found"),
    "status 500": (500, "llama-server process has terminated: signal: killed"),
    "status 503": (503, "server busy, please try again. maximum pending requests exceeded"),
}
_ERROR_LINES = {
    "error line": "an error was encountered while running the model: unexpected EOF",
    "disk full": "write /store/blobs/sha256-aa-partial: no space left on device",
    "digest mismatch": "digest mismatch, file must be downloaded again: want sha256:aa, got bb",
}


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
    what a route streams. `was_asked` is set by the first request, `hung_up` by a client that left.
    """

    faults: dict[Route, Fault] = field(default_factory=dict)
    faults_once: dict[Route, Fault] = field(default_factory=dict)
    lines: dict[Route, list[str]] = field(default_factory=dict)
    models: set[str] = field(default_factory=lambda: set(MODELS))
    asked: list[Asked] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    running: set[str] = field(default_factory=set)
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
            await Reply(writer, status, kind, lines, fault).send()
        finally:
            watcher.cancel()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        await reader.read()
        self.hung_up.set()

    def _reply(self, route: Route, body: dict[str, Any]) -> tuple[int, str, list[str]]:
        name = str(body.get("model") or body.get("source") or "demo")
        full_name = name if ":" in name else f"{name}:latest"
        if route not in ("pull", "version", "tags", "ps") and full_name not in self.models:
            return 404, JSON, [json.dumps({"error": f"model '{name}' not found"})]
        match route:
            case "tags":
                return self._models("tags", self.models)
            case "ps":
                return self._models("ps", self.running)
            case "copy":
                self.models.add(f"{body['destination']}:latest")
            case "delete":
                self.models.discard(full_name)
            case "generate" if body.get("keep_alive") == 0:
                self.running.discard(full_name)
                return _recording("unload")
            case "chat" | "generate":
                self.running.add(full_name)
        thinks = (route, full_name) == ("chat", "demo-thinker:latest")
        status, kind, lines = _recording("chat_thinking" if thinks else route)
        return status, kind, self.lines.get(route, lines)

    def _models(self, name: str, names: set[str]) -> tuple[int, str, list[str]]:
        first = json.loads(recorded(name)["lines"][0])["models"][0]
        models = [{**first, "name": each, "model": each} for each in sorted(names)]
        return 200, JSON, [json.dumps({"models": models})]


def _recording(name: str) -> tuple[int, str, list[str]]:
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


@dataclass
class Reply:
    """One answer, with something wrong about it."""

    writer: asyncio.StreamWriter
    status: int
    kind: str
    lines: list[str]
    fault: Fault | None

    async def send(self) -> None:
        fault = self.fault
        if fault in ("no answer", "silent"):
            if fault == "silent":
                await asyncio.Event().wait()
            return
        if fault == "not http":
            self.writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        elif fault in _ERRORS:
            status, text = _ERRORS[fault]
            await self._whole(status, json.dumps({"error": text}).encode())
        elif fault == "redirect":
            await self._whole(307, b"", "Location: http://127.0.0.1:9/api\r\n")
        elif fault == "packed":
            bomb = gzip.compress(b" " * 2**24 + "\n".join(self.lines).encode())
            await self._whole(200, bomb, "Content-Encoding: gzip\r\n")
        elif self.kind == LINES:
            await self._stream()
        else:
            body = b"".join([part async for part in self._broken(["\n".join(self.lines)])])
            await self._whole(self.status, body, cut=fault in ("cut off", "silent midway"))

    async def _whole(self, status: int, body: bytes, more: str = "", *, cut: bool = False) -> None:
        size = len(body) + (cut and 100)
        head = f"HTTP/1.1 {status} {_STATUS.get(status, 'OK')}\r\n{more}"
        head += f"Content-Type: {self.kind}\r\nContent-Length: {size}\r\n\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()
        if self.fault == "silent midway":
            await asyncio.Event().wait()

    async def _stream(self) -> None:
        head = f"HTTP/1.1 {self.status} OK\r\nContent-Type: {self.kind}\r\n"
        self.writer.write((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
        async for part in self._broken(self.lines):
            self.writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await self.writer.drain()
        if self.fault == "cut off":
            return
        self.writer.write(b"0\r\n\r\n")

    async def _broken(self, lines: list[str]) -> AsyncIterator[bytes]:
        """Yield the lines; from the middle on something is wrong with them."""
        middle = len(lines) // 2
        for index, line in enumerate(lines):
            if index == middle and (part := await self._fault_part(line)) is not None:
                yield part
                if self.fault in ("cut off", "no end"):
                    return
                continue
            if self.fault == "slow":
                await asyncio.sleep(SLOW_S)
            if self.fault == "dripping" and index >= middle:
                for byte in line.encode():
                    yield bytes([byte])
                    await asyncio.sleep(0.02)
            yield line.encode() + b"\n"

    async def _fault_part(self, line: str) -> bytes | None:
        fault = self.fault
        if fault == "silent midway" and self.kind == LINES:
            await asyncio.Event().wait()
        if fault in _ERROR_LINES:
            return json.dumps({"error": _ERROR_LINES[fault]}).encode() + b"\n"
        if fault == "wrong types":
            return b'{"message": 5, "response": [], "status": {}, "models": "all"}\n'
        if fault == "wrong numbers":
            return (
                b'{"message": {"role": "assistant"}, "done": true, "eval_count": -3,'
                b' "digest": "sha256:aa", "completed": -3}\n'
            )
        return {
            "cut off": line.encode()[: len(line) // 2],
            "no end": b"",
            "bad json": b"{'message': no}\n",
            "blank line": b"\n",
            "list line": b"[]\n",
            "null line": b"null\n",
            "deep json": b"[" * 200_000 + b"\n",
            "too long": b" " * TOO_LONG_BYTES + b"{}\n",
        }.get(str(fault))
