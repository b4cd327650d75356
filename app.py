"""Entry: the pages, and the HTTP routes beside them, as one ASGI app.

Start it with `streamlit run app.py`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path

import streamlit as st

from api.browser_cookie import browser_cookie
from api.headers import security_headers
from api.health import health_route
from api.page_addresses import page_routes
from config import get_settings
from pages.parts.requests import keep_drawings
from utils.engine.runtime import close_engine, get_engine
from utils.errors import ConfigError, StorageError
from utils.experiments.rollout import load_rollout
from utils.storage.database import get_database

SCRIPT = Path(__file__).parent / "pages" / "main.py"
# The chat is at the address of the app itself.
PAGES = sorted({file.stem for file in SCRIPT.parent.glob("*.py")} - {"main", "chat"})
DOCUMENT = files("streamlit") / "static" / "index.html"

try:
    get_settings()
except ConfigError as error:
    sys.stderr.write(f"SpecChat cannot start: {error}\n")
    sys.exit(2)


def take_over_rollout() -> None:
    """Take over what the settings say of the experiment; pages tell why where that cannot be."""
    with suppress(StorageError):
        load_rollout(get_database(), get_settings().rollout)


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncGenerator[None]:
    """Load the target and pull what is missing, with the pages there; end all with the app."""
    # At the start and never later: what is changed on a page, here or in another app, stays so.
    await asyncio.to_thread(take_over_rollout)
    engine = get_engine()
    engine.thread.call(engine.startup.run())
    yield
    close_engine()


keep_drawings()
app = st.App(
    SCRIPT,
    routes=[
        health_route(lambda: get_engine().client.health, lambda: get_engine().startup.snapshot()),
        *page_routes(PAGES, DOCUMENT.read_text(encoding="utf-8")),
    ],
    middleware=[security_headers(), browser_cookie()],
    lifespan=lifespan,
)
