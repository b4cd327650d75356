from __future__ import annotations

import pytest

from config import RolloutConfig
from utils.storage.database import Database


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "specchat.db")
    yield database
    database.close()


@pytest.fixture
def config():
    return RolloutConfig(speculative_percent=50)
