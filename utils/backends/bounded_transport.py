"""HTTP that trusts no server: nothing packed, and whole lines, bounded in size and in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx

from utils.errors import OllamaProtocolError, OllamaUnavailableError

MAX_LINE_BYTES = 2**20
MAX_BODY_BYTES = 8 * 2**20
LINES = "application/x-ndjson"
# JSON may hold this character as it is, and httpx would end a line at it.
_NEXT_LINE, _ESCAPED_NEXT_LINE = "\x85".encode(), b"\\u0085"


class BoundedTransport(httpx.AsyncBaseTransport):
    """Wraps a transport; what it lets through is safe to read to the end.

    A stream of JSON lines comes one line at a time, at most `MAX_LINE_BYTES` long, each within
    `idle_timeout_s` of the one before; any other body has at most `MAX_BODY_BYTES`, in all within
    that time. Raises `OllamaProtocolError` and `OllamaUnavailableError` while being read.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, *, idle_timeout_s: float) -> None:
        self._inner = inner
        self._idle_timeout_s = idle_timeout_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; refuses an answer that would have to be unpacked."""
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                response = await self._inner.handle_async_request(request)
        except TimeoutError as error:
            raise silence(self._idle_timeout_s) from error
        packing = response.headers.get("content-encoding", "identity")
        if packing != "identity":
            await response.aclose()
            raise OllamaProtocolError(f"Ollama sent a packed answer, unasked: {packing[:40]!r}")
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - it is async
        is_lines = response.headers.get("content-type", "").startswith(LINES)
        kind = _Lines if is_lines else _Body
        response.stream = kind(response.stream, self._idle_timeout_s)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, idle_timeout_s: float) -> None:
        self._stream = stream
        self._idle_timeout_s = idle_timeout_s
        self._start_waiting()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _start_waiting(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + self._idle_timeout_s

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await anext(chunks, None)
        except TimeoutError as error:
            raise silence(self._idle_timeout_s) from error


class _Body(_Bounded):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, chunks = 0, aiter(self._stream)
        while (chunk := await self._next(chunks)) is not None:
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise OllamaProtocolError(f"Ollama sent more than {MAX_BODY_BYTES} bytes at once")
            yield chunk


class _Lines(_Bounded):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest, chunks = bytearray(), aiter(self._stream)
        while (chunk := await self._next(chunks)) is not None:
            *lines, last = chunk.split(b"\n")
            for line in lines:
                rest += line
                yield self._checked(rest) + b"\n"
                rest = bytearray()
                self._start_waiting()
            rest += last
            self._checked(rest)
        yield self._checked(rest)

    def _checked(self, line: bytearray) -> bytes:
        if len(line) > MAX_LINE_BYTES:
            raise OllamaProtocolError(f"Ollama sent a line of more than {MAX_LINE_BYTES} bytes")
        return bytes(line).replace(_NEXT_LINE, _ESCAPED_NEXT_LINE)


def silence(seconds: float) -> OllamaUnavailableError:
    """Return the error for a server that says nothing any more."""
    return OllamaUnavailableError(
        f"Ollama was silent for {seconds:g} s: it hangs, or needs longer to load the model; "
        "ask again, or raise SPECCHAT_OLLAMA_IDLE_TIMEOUT_S"
    )
