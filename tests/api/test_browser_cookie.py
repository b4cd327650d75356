from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from api.browser_cookie import COOKIE, MAX_AGE_S, browser_cookie, checked_browser_id

PAGE = {"accept": "text/html,application/xhtml+xml"}


async def answer(_request):
    response = PlainTextResponse("hello")
    response.set_cookie("other", "kept")
    return response


async def echo(websocket):
    await websocket.accept()
    await websocket.send_text(websocket.cookies.get(COOKIE, "none"))
    await websocket.close()


def client(**options):
    routes = [Route("/", answer, methods=["GET", "POST"]), WebSocketRoute("/stream", echo)]
    app = Starlette(routes=routes, middleware=[browser_cookie()])
    return TestClient(app, **options)


def set_cookies(response):
    return [text for text in response.headers.get_list("set-cookie") if text.startswith(COOKIE)]


def test_a_browser_that_opens_a_page_gets_an_id_for_400_days():
    (text,) = set_cookies(client().get("/", headers=PAGE))
    value, *attributes = text.split("; ")
    assert checked_browser_id(value.removeprefix(f"{COOKIE}="))
    assert attributes == [f"Max-Age={MAX_AGE_S}", "Path=/", "HttpOnly", "SameSite=Lax"]
    assert MAX_AGE_S == 400 * 86_400


def test_the_id_stays_and_is_kept_for_longer_with_every_visit():
    browser = client()
    first, second = (set_cookies(browser.get("/", headers=PAGE)) for _ in range(2))
    assert first == second


def test_two_browsers_get_two_ids():
    assert set_cookies(client().get("/", headers=PAGE)) != set_cookies(
        client().get("/", headers=PAGE)
    )


@pytest.mark.parametrize(
    "wrong", ["", "short", "x" * 23, "x" * 21 + "=", "x" * 21 + "\u00e9", "'; DROP TABLE x; --'..."]
)
def test_an_id_that_was_not_made_here_is_replaced(wrong):
    browser = client()
    headers = {**PAGE, "cookie": f"{COOKIE}={wrong}".encode("latin-1")}
    (text,) = set_cookies(browser.get("/", headers=headers))
    assert f"{COOKIE}={wrong};" not in text
    assert checked_browser_id(wrong) == ""


def test_what_a_page_fetches_gets_no_id_of_its_own():
    assert set_cookies(client().get("/", headers={"accept": "*/*"})) == []
    assert set_cookies(client().post("/", headers=PAGE)) == []


def test_over_https_the_id_never_goes_over_anything_else():
    (text,) = set_cookies(client(base_url="https://testserver").get("/", headers=PAGE))
    assert text.endswith("; Secure")


def test_other_cookies_of_a_response_stay():
    response = client().get("/", headers=PAGE)
    assert len(response.headers.get_list("set-cookie")) == 2


def test_a_websocket_is_passed_on_with_the_id():
    browser = client()
    (text,) = set_cookies(browser.get("/", headers=PAGE))
    with browser.websocket_connect("/stream") as stream:
        assert f"{COOKIE}={stream.receive_text()};" in text


@pytest.mark.parametrize("value", [None, "", "a" * 22 + "\n"])
def test_what_is_no_id_reads_as_none(value):
    assert checked_browser_id(value) == ""
