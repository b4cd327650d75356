"""Two apps on one data folder: what one of them is writing the other one leaves alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.chat.endless_answer import WORD
from tests.chat.stand_in import BASELINE, Gate, finished, round_of
from utils.chat.archive import Archive
from utils.chat.conversation import Conversation
from utils.chat.shelf import ConversationShelf
from utils.errors import RequestError
from utils.events import Started
from utils.storage.database import Database


@pytest.fixture
def elsewhere(database):
    """The archive of another run on the same folder."""
    opened = Database(database.path)
    yield Archive(opened)
    opened.close()


@pytest.fixture
def writing(engine, board, settings, archive):
    """An answer that waits at a gate after two words, as it was saved by this run."""
    gate, words = Gate(), round_of(["Once", " upon"], drafted=3)
    last = round_of([" a", " time"], drafted=3, start=2)
    steps = [Started(3, 0, 7, BASELINE), words, gate, last, finished([words, last])]
    engine.client.scripts.append(steps)
    conversation = Conversation(owner="me")
    job = conversation.ask("1?", settings, board=board, runtime=engine)
    assert gate.reached.wait(5)
    archive.save(conversation)

    def end():
        gate.opened.set()
        assert job.wait(5)
        archive.save(conversation)

    yield conversation, end
    end()


def states(database):
    return [row["state"] for row in database.read("SELECT state FROM answers")]


def test_an_answer_that_another_run_writes_is_not_cut_off(writing, elsewhere, database):
    conversation, _ = writing
    elsewhere.mend()
    (turn,) = elsewhere.load(conversation.id).turns
    assert (turn.answer.state, turn.answer.text) == ("writing", "Once upon")
    assert "another SpecChat" in turn.answer.error
    assert not turn.answer.can_go_on
    assert states(database) == ["writing"]


def test_its_end_is_found_there_at_the_next_look(writing, elsewhere):
    conversation, end = writing
    shelf = ConversationShelf(archive=lambda: elsewhere)
    before = shelf.find(conversation.id)
    assert before.is_written_elsewhere
    end()
    after = shelf.find(conversation.id)
    assert (after.turns[0].answer.state, after.turns[0].answer.error) == ("done", None)
    assert after.turns[0].answer.text == "Once upon a time"
    assert shelf.find(conversation.id) is after
    shelf.close()


def test_nothing_is_asked_or_deleted_there_meanwhile(writing, elsewhere, engine, board, settings):
    conversation, _ = writing
    found = elsewhere.load(conversation.id)
    turn_id = found.turns[0].id
    options = {"board": board, "runtime": engine}
    for act in (
        lambda: found.ask("2?", settings, **options),
        lambda: found.edit(turn_id, "2?", settings, **options),
        lambda: found.regenerate(settings, **options),
        lambda: found.continue_answer(settings, **options),
        lambda: found.delete_turn(turn_id),
    ):
        with pytest.raises(RequestError):
            act()
    with pytest.raises(RequestError, match="another SpecChat"):
        found.ask("2?", settings, **options)
    assert len(found.turns) == 1


def test_saving_there_takes_nothing_from_it(writing, elsewhere, database):
    conversation, end = writing
    elsewhere.rename(conversation.id, "Other")
    assert states(database) == ["writing"]
    end()
    assert states(database) == ["done"]


def test_what_a_run_left_behind_is_cut_off_once_it_has_ended(writing, elsewhere, database):
    conversation, _ = writing
    assert elsewhere.load(conversation.id).is_written_elsewhere
    database.run.end()
    (turn,) = elsewhere.load(conversation.id).turns
    assert turn.answer.state == "failed"
    assert "the app ended" in turn.answer.error
    assert turn.answer.can_go_on


def test_a_process_that_writes_is_let_alone_until_it_is_killed(database, archive):
    command = [sys.executable, "-m", "tests.chat.endless_answer", database.path, "40", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            conversation_id, kept = line.split()
            if int(kept) == 40 * len(WORD):
                break
        archive.mend()
        is_let_alone = archive.load(conversation_id).is_written_elsewhere
        process.kill()
    assert is_let_alone
    archive.mend()
    (turn,) = archive.load(conversation_id).turns
    assert (turn.answer.state, turn.answer.text) == ("failed", WORD * 40)
