"""A chat in which another app on the same data folder is writing an answer."""

from __future__ import annotations

import pytest

from config import SamplingParams, SpeculativeConfig
from tests.chat.stand_in import BASELINE, Gate, StandInEngine, finished, round_of
from tests.pages.steps import ask, check, open_page, shown
from utils.chat.archive import Archive
from utils.chat.conversation import AnswerSettings, Conversation
from utils.chat.jobs import JobBoard
from utils.events import Started
from utils.storage.database import Database

OWNER = "a-browser-of-22-chars-"

pytestmark = pytest.mark.usefixtures("browser")


@pytest.fixture
def writing(database):
    """The chat, and what ends its answer in the other app."""
    opened, engine, gate = Database(database.path), StandInEngine(), Gate()
    archive, word = Archive(opened), round_of(["Once", " upon"], drafted=3)
    last = round_of([" a", " time"], drafted=3, start=2)
    steps = [Started(3, 0, 7, BASELINE), word, gate, last, finished([word, last])]
    engine.client.scripts.append(steps)
    conversation = Conversation(owner=OWNER)
    settings = AnswerSettings(SamplingParams(), SpeculativeConfig())
    job = conversation.ask("1?", settings, board=JobBoard(), runtime=engine)
    assert gate.reached.wait(10)
    archive.save(conversation)

    def end():
        gate.opened.set()
        assert job.wait(10)
        archive.save(conversation)

    yield conversation, end
    engine.close()
    opened.close()


def test_what_is_written_elsewhere_is_shown_and_goes_on_there(engine, writing):
    conversation, end = writing
    page = open_page(chat=conversation.id)
    assert "Once upon" in shown(page)
    assert "Another SpecChat on the same data folder" in page.error[0].value
    keys = {button.key for button in page.button}
    assert not keys & {"stop", "continue"}

    ask(page, "2?")
    assert "another SpecChat" in page.toast[0].value.replace("Another", "another")
    assert page.chat_input[0].value == "2?"
    assert engine.client.asked == []

    end()
    again = check(open_page(chat=conversation.id))
    assert "Once upon a time" in shown(again)
    assert not again.error
