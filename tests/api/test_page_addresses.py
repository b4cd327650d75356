from __future__ import annotations

from importlib.resources import files

from starlette.applications import Starlette
from starlette.testclient import TestClient

from api.page_addresses import TELL, page_routes

DOCUMENT = files("streamlit").joinpath("static/index.html").read_text(encoding="utf-8")


def test_a_page_is_the_document_of_all_and_says_where_the_app_is():
    client = TestClient(Starlette(routes=page_routes(["compare"], DOCUMENT)))
    reply = client.get("/compare")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.text.replace(TELL, "") == DOCUMENT
    # Its program reads this as it begins.
    assert reply.text.index(TELL) < reply.text.index('type="module"')
    assert client.get("/other").status_code == 404
