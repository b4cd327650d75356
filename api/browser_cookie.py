"""A cookie that tells browsers apart: a random id, made here, that says nothing about anybody."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "specchat_browser"
MAX_AGE_S = 400 * 24 * 3600
_RANDOM_BYTES = 16
_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def checked_browser_id(value: object) -> str:
    """Return the id, or nothing where it is none of those made here."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


class BrowserCookie:
    """Gives an id to a browser that has none as it opens a page, and keeps it for 400 days more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and send the id with the page."""
        if scope["type"] != "http" or not _opens_page(HTTPConnection(scope)):
            await self._app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", _cookie(HTTPConnection(scope)))
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def browser_cookie() -> Middleware:
    """Return the middleware that gives every browser its id."""
    return Middleware(BrowserCookie)


def _opens_page(request: HTTPConnection) -> bool:
    # What a page fetches does not ask for HTML: were each of those answered with an id, the
    # first visit would get several.
    return request.scope["method"] == "GET" and "text/html" in request.headers.get("accept", "")


def _cookie(request: HTTPConnection) -> str:
    known = checked_browser_id(request.cookies.get(COOKIE))
    browser_id = known or secrets.token_urlsafe(_RANDOM_BYTES)
    secure = "; Secure" if request.url.scheme == "https" else ""
    return f"{COOKIE}={browser_id}; Max-Age={MAX_AGE_S}; Path=/; HttpOnly; SameSite=Lax{secure}"
