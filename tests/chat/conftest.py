from __future__ import annotations

import pytest

from config import SamplingParams, SpeculativeConfig
from tests.chat.stand_in import StandInEngine, script
from utils.chat.archive import Archive
from utils.chat.conversation import AnswerSettings, Conversation
from utils.chat.jobs import JobBoard
from utils.chat.snapshots import AnswerRequest
from utils.engine.protocol import ChatMessage
from utils.storage.database import Database


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


@pytest.fixture
def ask(engine, board, settings):
    """Ask in a conversation, and wait for the answer."""

    def ask(conversation, question, settings=settings, **options):
        job = conversation.ask(question, settings, board=board, runtime=engine, **options)
        assert job.wait(5)
        return job

    return ask


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "specchat.db")
    yield database
    database.close()


@pytest.fixture
def archive(database):
    return Archive(database)


@pytest.fixture
def talk(engine, ask, archive):
    """Have a conversation of these questions, each with an answer, and save it."""

    def talk(*pairs, owner="me", **options):
        conversation = Conversation(owner=owner, **options)
        for question, answer in pairs:
            engine.client.scripts.append(script([answer]))
            ask(conversation, question)
        archive.save(conversation)
        return conversation

    return talk
