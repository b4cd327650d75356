"""Entry: the pages, and the HTTP routes beside them, as one ASGI app.

Start it with `streamlit run app.py`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st

from api.browser_cookie import browser_cookie
from api.headers import security_headers
from api.health import health_route
from config import get_settings
from utils.engine.runtime import close_engine, get_engine
from utils.errors import ConfigError

try:
    get_settings()
except ConfigError as error:
    sys.stderr.write(f"SpecChat cannot start: {error}\n")
    sys.exit(2)


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncGenerator[None]:
    """Load the target and pull what is missing, with the pages there; end all with the app."""
    engine = get_engine()
    engine.thread.call(engine.startup.run())
    yield
    close_engine()


app = st.App(
    Path(__file__).parent / "pages" / "main.py",
    routes=[
        health_route(lambda: get_engine().client.health, lambda: get_engine().startup.snapshot())
    ],
    middleware=[security_headers(), browser_cookie()],
    lifespan=lifespan,
)
