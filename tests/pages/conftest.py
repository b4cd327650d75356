from __future__ import annotations

import pytest

from tests.chat.stand_in import StandInEngine
from tests.pages.steps import open_page
from utils.chat import shelf
from utils.storage.database import Database


@pytest.fixture(autouse=True)
def _unmeasured(no_cover):
    """Coverage is asked for of what pages call, by tests of its own: tracing draws them slowly."""


@pytest.fixture(autouse=True)
def database(monkeypatch, tmp_path):
    """A file of its own for each test."""
    database = Database(tmp_path / "specchat.db")
    monkeypatch.setattr("utils.storage.database.get_database", lambda: database)
    yield database
    # What is still to be saved goes here, and not among the chats of the next test.
    shelf.get_shelf().close()
    shelf._shelf.cache_clear()
    database.close()


@pytest.fixture
def browser(monkeypatch):
    """All pages are opened by one browser that is known by a cookie."""
    monkeypatch.setattr("pages.parts.browser.browser_id", lambda: "a-browser-of-22-chars-")


@pytest.fixture
def engine(monkeypatch):
    engine = StandInEngine()
    monkeypatch.setattr("utils.engine.runtime.get_engine", lambda: engine)
    yield engine
    engine.close()


@pytest.fixture
def page(engine):
    return open_page()
