from __future__ import annotations

import pytest

from tests.chat.stand_in import StandInEngine
from tests.pages.steps import open_page


@pytest.fixture
def engine(monkeypatch):
    engine = StandInEngine()
    monkeypatch.setattr("utils.engine.runtime.get_engine", lambda: engine)
    yield engine
    engine.close()


@pytest.fixture
def page(engine):
    return open_page()
