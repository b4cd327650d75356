"""One answer of the test server, and everything that can be wrong with it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, get_args

LINES = "application/x-ndjson"
JSON = "application/json; charset=utf-8"
TOO_LONG_BYTES = 9 * 2**20
SLOW_S = 0.01

Lines = list[str] | AsyncGenerator[str, None]
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


@dataclass
class Reply:
    """One answer, with something wrong about it unless it `is_whole`."""

    writer: asyncio.StreamWriter
    status: int
    kind: str
    lines: Lines
    fault: Fault | None
    is_whole: bool = False

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
            bomb = gzip.compress(b" " * 2**24 + "\n".join(await self._all_lines()).encode())
            await self._whole(200, bomb, "Content-Encoding: gzip\r\n")
        elif self.kind == LINES:
            await self._stream()
        else:
            lines = ["\n".join(await self._all_lines())]
            body = b"".join([part async for part in self._broken(lines)])
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
        async with aclosing(self._parts()) as parts:
            async for part in parts:
                self.writer.write(b"%x\r\n%s\r\n" % (len(part), part))
                await self.writer.drain()
        if self.fault == "cut off":
            return
        self.writer.write(b"0\r\n\r\n")
        self.is_whole = self.fault in (None, "slow")

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the lines as they come, or broken: only of a whole answer the middle is known."""
        if isinstance(self.lines, list) or self.fault is not None:
            async for part in self._broken(await self._all_lines()):
                yield part
            return
        async with aclosing(self.lines) as lines:
            async for line in lines:
                yield line.encode() + b"\n"

    async def _all_lines(self) -> list[str]:
        if isinstance(self.lines, list):
            return self.lines
        return [line async for line in self.lines]

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
