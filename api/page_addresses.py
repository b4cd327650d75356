"""Addresses of the pages: a browser that opens one of them is told where the app is.

Untold, the pages' own program first looks for the app under the address of the page, and each miss
is an error in the browser's log.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

TELL = '<script>window.__streamlit = {BACKEND_BASE_URL: new URL(".", location.href).href}</script>'


def page_routes(names: Iterable[str], document: str) -> list[Route]:
    """Return a route `GET /NAME` for each page; `document` is the HTML that all of them have."""
    told = document.replace("<head>", f"<head>{TELL}", 1)

    async def open_page(_request: Request) -> HTMLResponse:
        return HTMLResponse(told, headers={"cache-control": "no-cache"})

    return [Route(f"/{name}", open_page, methods=["GET"]) for name in names]
