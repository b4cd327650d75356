from __future__ import annotations

import pytest

from config import SamplingParams, SpeculativeConfig
from tests.chat.stand_in import StandInEngine
from utils.chat.conversation import AnswerSettings
from utils.chat.jobs import JobBoard
from utils.chat.snapshots import AnswerRequest
from utils.engine.protocol import ChatMessage


@pytest.fixture
def engine():
    engine = StandInEngine()
    yield engine
    engine.close()


@pytest.fixture
def board():
    return JobBoard()


@pytest.fixture
def settings():
    return AnswerSettings(SamplingParams(), SpeculativeConfig())


@pytest.fixture
def request_():
    message = ChatMessage(role="user", content="Hello?")
    return AnswerRequest((message,), SamplingParams(), SpeculativeConfig(), "somebody")
