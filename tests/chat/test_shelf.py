from __future__ import annotations

import logging
import threading

import pytest

from tests.chat.stand_in import BASELINE, Gate, finished, round_of
from utils.chat.archive import Archive, get_archive
from utils.chat.conversation import Conversation
from utils.chat.saving import Saver
from utils.chat.shelf import ConversationShelf, get_shelf
from utils.errors import StorageError
from utils.events import Started


class CountingArchive(Archive):
    """Counts saves, and fails them while it is told to.

    `saved` is set after each, `ended` after one of a conversation without a running answer.
    """

    def __init__(self, database):
        super().__init__(database)
        self.saves, self.error = 0, None
        self.saved, self.ended = threading.Event(), threading.Event()

    def save(self, conversation):
        self.saves += 1
        if self.error is not None:
            raise self.error
        is_answering = conversation.is_answering
        super().save(conversation)
        self.saved.set()
        if not is_answering:
            self.ended.set()


@pytest.fixture
def archive(database):
    return CountingArchive(database)


@pytest.fixture
def shelf(archive):
    shelf = ConversationShelf(archive=lambda: archive)
    yield shelf
    shelf.close()


@pytest.fixture
def writing(engine, board, settings, shelf):
    """Begin an answer that waits at a gate after its first word."""
    gate = Gate()
    word = round_of(["Once"], drafted=2)
    engine.client.scripts.append([Started(3, 0, 7, BASELINE), word, gate, finished([word])])
    conversation = Conversation(owner="me")
    job = conversation.ask("1?", settings, board=board, runtime=engine)
    yield conversation, gate, job
    gate.opened.set()
    assert job.wait(5)


def test_the_shelf_gives_back_a_conversation_by_its_id():
    shelf, conversation = ConversationShelf(), Conversation()
    shelf.put(conversation)
    assert shelf.find(conversation.id) is conversation
    assert shelf.find("nobody") is None


def test_a_full_shelf_drops_the_one_used_longest_ago():
    shelf = ConversationShelf(limit=2)
    first, second, third = Conversation(), Conversation(), Conversation()
    shelf.put(first)
    shelf.put(second)
    shelf.find(first.id)
    shelf.put(third)

    assert shelf.find(second.id) is None
    assert shelf.find(first.id) is first
    assert shelf.find(third.id) is third


def test_a_full_shelf_keeps_a_conversation_that_is_being_answered(writing):
    busy, _, _ = writing
    shelf = ConversationShelf(limit=1)
    idle, newest = Conversation(), Conversation()
    for conversation in (busy, idle, newest):
        shelf.put(conversation)

    assert shelf.find(busy.id) is busy
    assert shelf.find(idle.id) is None
    assert shelf.find(newest.id) is newest


def test_the_shelf_tells_in_which_chats_of_somebody_an_answer_is_being_written(writing):
    busy, gate, job = writing
    shelf = ConversationShelf()
    for conversation in (busy, Conversation(owner="me"), Conversation(owner="another")):
        shelf.put(conversation)
    assert shelf.answering("me") == {busy.id}
    assert shelf.answering("another") == set()
    gate.opened.set()
    assert job.wait(5)
    assert shelf.answering("me") == set()


def test_there_is_one_shelf_a_process():
    assert get_shelf() is get_shelf()


def test_there_is_one_archive_a_database(monkeypatch, database):
    monkeypatch.setattr("utils.storage.database.get_database", lambda: database)
    assert get_archive() is get_archive()


def test_what_the_shelf_has_not_is_in_the_archive(shelf, database, ask):
    conversation = Conversation(owner="me")
    ask(conversation, "1?")
    shelf.put(conversation)
    later = ConversationShelf(archive=lambda: Archive(database))
    found = later.find(conversation.id)
    assert found.turns[0].answer.text == "Hello there."
    assert later.find(conversation.id) is found


def test_a_question_is_kept_before_its_answer_has_ended(shelf, archive, writing):
    conversation, _, _ = writing
    shelf.put(conversation)
    assert [found.title for found in archive.list("me")] == ["1?"]


def test_the_end_of_an_answer_is_saved_at_once_though_nobody_looks(archive, database, writing):
    conversation, gate, job = writing
    shelf = ConversationShelf(archive=lambda: archive, save_every_s=60)
    shelf.put(conversation)
    gate.opened.set()
    assert job.wait(5)
    assert archive.ended.wait(5)
    (row,) = database.read("SELECT state FROM answers")
    assert row["state"] == "done"
    shelf.close()


def test_an_answer_being_written_is_saved_once_a_second_only(database, archive, writing):
    conversation, _, _ = writing
    shelf = ConversationShelf(archive=lambda: archive, save_every_s=60)
    shelf.put(conversation)
    archive.saved.clear()
    conversation.rename("One")
    assert archive.saved.wait(5)
    for number in range(50):
        conversation.rename(f"Number {number}")
    assert archive.saves <= 3
    shelf.close()
    assert archive.list("me")[0].title == "Number 49"


def test_a_temporary_chat_is_found_on_the_shelf_only(shelf, archive, ask):
    conversation = Conversation(owner="me", is_temporary=True)
    ask(conversation, "1?")
    shelf.put(conversation)
    shelf.flush()
    assert shelf.find(conversation.id) is conversation
    assert archive.list("me") == []


def test_a_deleted_conversation_is_found_no_more(shelf, archive, ask):
    conversation = Conversation(owner="me")
    ask(conversation, "1?")
    shelf.put(conversation)
    archive.delete(conversation.id)
    assert shelf.find(conversation.id) is None
    shelf.put(conversation)
    assert shelf.find(conversation.id) is conversation
    assert len(archive.list("me")) == 1


def test_a_disk_that_fails_fails_no_answer_and_is_told_once(shelf, archive, writing, caplog):
    conversation, gate, job = writing
    archive.error = StorageError("the disk is full")
    with caplog.at_level(logging.WARNING):
        shelf.put(conversation)
        gate.opened.set()
        assert job.wait(5)
        shelf.flush()
    assert conversation.turns[0].answer.text == "Once"
    assert "the disk is full" in shelf.problem
    assert len(caplog.records) == 1

    archive.error = None
    conversation.rename("Saved")
    assert archive.saved.wait(5)
    shelf.flush()
    assert shelf.problem == ""
    assert archive.list("me")[0].title == "Saved"


def test_a_fault_of_the_app_does_not_end_the_saving(archive, ask, caplog):
    saver, conversation = Saver(lambda: archive), Conversation(owner="me")
    ask(conversation, "1?")
    archive.error = ZeroDivisionError()
    assert not saver.save(conversation)
    assert "log of the app" in saver.problem
    archive.error = None
    assert saver.save(conversation)
    assert saver.problem == ""


def test_an_archive_that_cannot_be_opened_is_no_end_of_the_chat(ask):
    def fail():
        raise StorageError("no such folder")

    shelf, conversation = ConversationShelf(archive=fail), Conversation(owner="me")
    ask(conversation, "1?")
    shelf.put(conversation)
    assert shelf.find(conversation.id) is conversation
    assert shelf.find("nobody") is None
    assert "no such folder" in shelf.problem
    shelf.close()


def test_what_is_not_saved_yet_is_saved_at_the_end(shelf, archive, ask):
    conversation = Conversation(owner="me")
    ask(conversation, "1?")
    shelf.put(conversation)
    conversation.rename("Last words")
    shelf.close()
    assert archive.list("me")[0].title == "Last words"


def test_what_is_changed_while_another_is_saved_at_the_end_is_saved_too(database, ask):
    class SlowArchive(Archive):
        began = threading.Event()

        def save(self, conversation):
            self.began.set()
            with saver._wake:
                saver._wake.wait_for(lambda: saver._is_closing, 5)
            super().save(conversation)

    archive = SlowArchive(database)
    saver, first, second = (
        Saver(lambda: archive),
        Conversation(owner="me"),
        Conversation(owner="me"),
    )
    ask(first, "1?")
    ask(second, "2?")
    saver.mark(first)
    assert archive.began.wait(5)
    saver.mark(second)
    saver.close()
    assert len(archive.list("me")) == 2
