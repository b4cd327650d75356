"""Damaged streams: whatever bytes come, the answer is whole or the error is one of three."""

from __future__ import annotations

import random
from collections import Counter

import httpx
import pytest

from config import Settings
from tests.backends.record_ollama import MESSAGES
from tests.ollama_reply import LINES
from tests.ollama_server import recorded
from utils.backends import bounded_transport, ollama
from utils.backends.ollama import OllamaClient
from utils.errors import OllamaAnswerError, OllamaProtocolError, OllamaUnavailableError

STREAMS = 1000
SPLINTERS = (
    b"\n",
    b"\r",
    b"\0",
    b"\xff\xfe",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"null",
    b"[]",
    b"NaN",
    b"-1",
    b"1e999",
    b"9" * 400,
    b"9" * 5000,
    b'{"error":"broken"}\n',
    b'{"error":{"code":5}}\n',
    b'{"error":"5"}\n',
    b'"done":true,',
    b"[" * 3000,
    b" " * 3000,
)
FIELDS = (
    b',"done":true',
    b',"done":true,"eval_count":' + b"9" * 400,
    b',"done":true,"eval_duration":1e300',
    b',"done":true,"eval_duration":' + b"9" * 400,
    b',"done_reason":5',
    b',"total":-5',
    b',"digest":"a","total":' + b"9" * 400,
    b',"message":{"role":5}',
    b',"message":{"role":"assistant","content":{}}',
    b',"status":[]',
    b',"error":"broken"',
    b',"error":["broken"]',
    b',"response":null',
    b',"done":"perhaps"',
    b',"x":' + b"[" * 900 + b"]" * 900,
)


class Damaged(httpx.AsyncBaseTransport):
    """Sends one body, in chunks of any size."""

    def __init__(self) -> None:
        self.body = b""
        self.chance = random.Random(0)

    async def handle_async_request(self, request):
        return httpx.Response(
            200, headers={"content-type": LINES}, stream=Chunks(self.body, self.chance)
        )


class Chunks(httpx.AsyncByteStream):
    def __init__(self, body, chance):
        self.body, self.chance = body, chance

    async def __aiter__(self):
        rest = self.body
        while rest:
            size = self.chance.choice((1, 7, 100, 10_000))
            yield rest[:size]
            rest = rest[size:]


def damage(body: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at, end = sorted(chance.randrange(len(body) + 1) for _ in range(2))
        match chance.randrange(7):
            case 0:
                body = body[:at] + chance.choice(SPLINTERS) + body[at:]
            case 1:
                body = body[:at] + body[end:]
            case 2:
                body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
            case 3:
                body = body[:end] + body[at:]
            case 4:
                body = _into_a_line(body, b"}\n", chance.choice(FIELDS), chance)
            case 5:
                body = _into_a_line(body, b'{"', chance.choice(SPLINTERS), chance)
            case _:
                lines = body.splitlines(keepends=True)
                chance.shuffle(lines)
                body = b"".join(lines)
    return body


def _into_a_line(body: bytes, place: bytes, part: bytes, chance: random.Random) -> bytes:
    ends = [at for at in range(len(body)) if body.startswith(place, at)]
    at = chance.choice(ends) if ends else 0
    return body[:at] + part + body[at:]


@pytest.fixture
async def damaged(monkeypatch):
    transport = Damaged()
    monkeypatch.setattr(ollama.httpx, "AsyncHTTPTransport", lambda **_: transport)
    monkeypatch.setattr(bounded_transport, "MAX_LINE_BYTES", 2000)
    client = OllamaClient(Settings())
    yield transport, client
    await client.close()


@pytest.mark.parametrize("route", ["chat", "generate", "pull"])
async def test_damaged_streams_are_answers_or_one_of_three_errors(damaged, route):
    transport, client = damaged
    body = "".join(f"{line}\n" for line in recorded(route)["lines"]).encode()
    ask = {
        "chat": lambda: client.chat("demo", MESSAGES, {}),
        "generate": lambda: client.generate("demo", "x", {}),
        "pull": lambda: client.pull("demo"),
    }[route]
    ends, words = Counter(), []
    for seed in range(STREAMS // 3 + 1):
        transport.chance = random.Random(seed)
        transport.body = damage(body, transport.chance)
        try:
            parts = [part async for part in ask()]
            assert parts, seed
            ends["answer"] += 1
        except (OllamaAnswerError, OllamaProtocolError, OllamaUnavailableError) as error:
            words.append(str(error))
            ends[type(error)] += 1
    assert max(map(len, words)) < 500
    assert ends["answer"] > 10
    assert ends[OllamaProtocolError] > 100
    assert ends[OllamaAnswerError] > 0
