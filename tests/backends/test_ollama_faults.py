"""Every way in which the server can fail, at every kind of request, is one of three errors."""

from __future__ import annotations

import asyncio
import json
from time import monotonic

import httpx
import pytest

from config import Settings
from tests import ollama_reply
from tests.backends.record_ollama import MESSAGES
from tests.ollama_reply import FAULTS
from utils.backends import bounded_transport, ollama
from utils.backends.ollama import OllamaClient
from utils.backends.ollama_errors import answer_error, connection_error
from utils.errors import (
    BackendError,
    OllamaAnswerError,
    OllamaProtocolError,
    OllamaUnavailableError,
)

IDLE_S = 0.25
EXPECTED = {
    "no answer": OllamaUnavailableError,
    "not http": OllamaUnavailableError,
    "status 404": OllamaAnswerError,
    "status 500": OllamaAnswerError,
    "status 503": OllamaAnswerError,
    "redirect": OllamaAnswerError,
    "error line": OllamaAnswerError,
    "cut off": OllamaUnavailableError,
    "bad json": OllamaProtocolError,
    "blank line": OllamaProtocolError,
    "list line": OllamaProtocolError,
    "null line": OllamaProtocolError,
    "wrong types": OllamaProtocolError,
    "wrong numbers": OllamaProtocolError,
    "deep json": OllamaProtocolError,
    "no end": OllamaProtocolError,
    "silent": OllamaUnavailableError,
    "silent midway": OllamaUnavailableError,
    "dripping": OllamaUnavailableError,
    "slow": None,
    "packed": OllamaProtocolError,
    "too long": OllamaProtocolError,
    "disk full": OllamaAnswerError,
    "digest mismatch": OllamaAnswerError,
}
TIMED = {"silent", "silent midway", "dripping"}
STATUS = {"status 404": 404, "status 500": 500, "status 503": 503, "redirect": 307}
# A list is one object, not a stream: it has no line for an error, no end to miss, no counts.
OTHERWISE = {
    ("error line", "tags"): OllamaProtocolError,
    ("disk full", "tags"): OllamaProtocolError,
    ("digest mismatch", "tags"): OllamaProtocolError,
    ("slow", "tags"): None,
}
ROUTES = ("chat", "generate", "pull", "tags")


async def ask(client, route):
    if route == "tags":
        return await client.list()
    answers = {
        "chat": lambda: client.chat("demo", MESSAGES, {}),
        "generate": lambda: client.generate("demo", "In a quiet forest", {}),
        "pull": lambda: client.pull("demo"),
    }
    return [part async for part in answers[route]()]


@pytest.fixture
async def hasty(server, monkeypatch):
    monkeypatch.setattr(ollama, "PULL_IDLE_TIMEOUT_S", IDLE_S)
    settings = Settings(ollama_url=server.url).model_copy(update={"ollama_idle_timeout_s": IDLE_S})
    client = OllamaClient(settings)
    yield client
    await client.close()


def test_every_fault_of_the_server_is_expected_to_be_something():
    assert set(EXPECTED) == set(FAULTS)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failure_is_the_right_error_and_says_what_to_do(
    server, client, hasty, fault, route
):
    server.faults[route] = fault
    asking = hasty if fault in TIMED else client
    expected = OTHERWISE.get((fault, route), EXPECTED[fault])
    if expected is None:
        assert await ask(asking, route)
        return
    with pytest.raises(BackendError) as caught:
        await ask(asking, route)
    assert type(caught.value) is expected, caught.value
    if expected is OllamaAnswerError:
        assert caught.value.status == STATUS.get(fault)
    text = str(caught.value)
    assert "Ollama" in text
    assert len(text) < 500
    assert "\n" not in text
    server.faults.clear()
    assert await ask(client, route), "it must work again"


@pytest.mark.parametrize("route", ROUTES)
async def test_a_server_that_is_down_is_unavailable_until_it_is_up_again(server, client, route):
    await server.stop()
    with pytest.raises(OllamaUnavailableError, match=r"not running at http://127.*start it"):
        await ask(client, route)
    await server.start()
    assert await ask(client, route)


@pytest.mark.parametrize("route", ["chat", "generate", "pull"])
async def test_a_server_that_dies_amid_an_answer_is_unavailable(server, client, route):
    server.faults[route] = "silent midway"
    answer = asyncio.ensure_future(ask(client, route))
    await asyncio.wait_for(server.was_asked.wait(), 5)
    await server.stop()
    with pytest.raises(OllamaUnavailableError):
        await answer


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("disk full", "make room"),
        ("digest mismatch", "pull the model again"),
        ("status 503", "ask again later"),
        ("status 404", "pull the model first"),
        ("redirect", "SPECCHAT_OLLAMA_URL"),
        ("packed", "packed answer, unasked"),
        ("silent midway", "SPECCHAT_OLLAMA_IDLE_TIMEOUT_S"),
        ("cut off", "broke: it hung up; ask again"),
    ],
)
async def test_advice_fits_the_failure(server, client, hasty, fault, advice):
    server.faults["pull"] = fault
    with pytest.raises(BackendError, match=advice):
        await ask(hasty if fault in TIMED else client, "pull")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("dial tcp: lookup registry.ollama.ai on 192.0.2.53:53: no such host", "no such host"),
        ("dial tcp 192.0.2.7:443: connect: connection refused", "connection refused"),
        ("dial tcp [2001:db8::7]:443: connect: network is unreachable", "network is unreachable"),
        ("net/http: TLS handshake timeout", "TLS handshake timeout"),
    ],
)
async def test_a_pull_without_a_network_says_what_cannot_be_reached(server, client, words, reason):
    address = "https://registry.ollama.ai/v2/library/llama3.2/manifests/1b"
    problem = {"error": f'pull model manifest: Get "{address}": {words}'}
    server.lines["pull"] = ['{"status":"pulling manifest"}', json.dumps(problem)]
    with pytest.raises(OllamaAnswerError) as caught:
        await ask(client, "pull")
    assert str(caught.value) == (
        f"Ollama cannot reach registry.ollama.ai: {reason}; see that its machine is online, "
        "then try again"
    )


async def test_an_answer_without_end_is_stopped(server, client, monkeypatch):
    monkeypatch.setattr(ollama, "MAX_ANSWER_CHARS", 10)
    with pytest.raises(OllamaProtocolError, match="does not end"):
        await ask(client, "chat")


async def test_a_line_may_be_as_long_as_the_limit_and_no_longer(server, client, monkeypatch):
    line = '{"message":{"role":"assistant","content":"%s"},"done":true}'
    room = 500 - len(line % "")
    monkeypatch.setattr(bounded_transport, "MAX_LINE_BYTES", 500)
    server.lines["chat"] = [line % ("x" * room)]
    assert len((await ask(client, "chat"))[0].text) == room
    server.lines["chat"] = [line % ("x" * (room + 1))]
    with pytest.raises(OllamaProtocolError, match="more than 500 bytes"):
        await ask(client, "chat")


async def test_a_body_may_be_as_long_as_the_limit_and_no_longer(server, client, monkeypatch):
    size = len(json.dumps({"models": []}) + "\n")
    server.models.clear()
    monkeypatch.setattr(bounded_transport, "MAX_BODY_BYTES", size)
    assert await client.list() == ()
    monkeypatch.setattr(bounded_transport, "MAX_BODY_BYTES", size - 1)
    with pytest.raises(OllamaProtocolError, match="bytes at once"):
        await client.list()


async def test_an_answer_may_take_longer_than_the_longest_silence(server, monkeypatch):
    monkeypatch.setattr(ollama_reply, "SLOW_S", 0.1)
    server.faults["chat"] = "slow"
    settings = Settings(ollama_url=server.url).model_copy(update={"ollama_idle_timeout_s": 2.0})
    client = OllamaClient(settings)
    start = monotonic()
    assert await ask(client, "chat")
    assert monotonic() - start > settings.ollama_idle_timeout_s
    await client.close()


@pytest.mark.parametrize("fault", ["status 500", "list line", "null line", "wrong types"])
async def test_requests_of_our_own_fail_in_the_same_ways(server, client, fault):
    server.faults["version"] = fault
    expected = OllamaAnswerError if fault == "status 500" else OllamaProtocolError
    with pytest.raises(expected):
        await client.version()


async def test_a_server_that_does_not_show_prompts_is_too_old(server, client):
    server.lines["render"] = ['{"message":{"role":"assistant","content":"Hello"},"done":true}']
    with pytest.raises(OllamaProtocolError, match="update it"):
        await client.render("demo", MESSAGES)


async def test_a_refusal_in_many_words_is_cut_to_one_line(client):
    with pytest.raises(OllamaAnswerError) as caught:
        await client.show("x\n" * 2000)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


async def test_a_machine_that_does_not_answer_is_given_up_on(client, monkeypatch):
    error = connection_error(httpx.ConnectTimeout("timed out"), client.url)
    assert "cannot be reached" in str(error)
    assert str(answer_error("odd", 400)) == "Ollama refused with status 400: odd"
    assert "does not answer in time" in str(connection_error(httpx.PoolTimeout(""), client.url))
    assert ollama._connect(client.url, 1.0)._client.timeout.connect == ollama.CONNECT_TIMEOUT_S
