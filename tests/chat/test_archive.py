from __future__ import annotations

import gc
from dataclasses import replace

import pytest

from tests.chat.stand_in import BASELINE, Gate, round_of
from utils.chat.archive import Archive
from utils.chat.conversation import Attachment, Conversation
from utils.errors import RequestError, StorageError
from utils.events import Started

OWNER = "me"


def without_messages(turn):
    request = replace(turn.answer.request, messages=(), enrolment=None, begun=None)
    return replace(turn, answer=replace(turn.answer, request=request))


def titles(found):
    return [summary.title for summary in found]


def test_a_conversation_comes_back_as_it_was(database, talk, board, settings, engine, archive):
    conversation = talk(("1?", "one"), ("2?", "two"))
    assert conversation.regenerate(settings, board=board, runtime=engine).wait(5)
    conversation.show(conversation.all_turns[1].id)
    conversation.rename("Numbers")
    archive.save(conversation)

    again = Archive(database).load(conversation.id)
    assert again.all_turns == tuple(map(without_messages, conversation.all_turns))
    assert [turn.id for turn in again.turns] == [turn.id for turn in conversation.turns]
    for name in ("id", "owner", "title", "created_at", "updated_at"):
        assert getattr(again, name) == getattr(conversation, name)
    assert not again.is_answering


def test_the_next_prompt_is_the_same_after_loading(database, talk, ask, engine):
    conversation = talk(("1?", "<think>Hm.</think>one"))
    again = Archive(database).load(conversation.id)
    ask(conversation, "2?")
    ask(again, "2?")
    first, second = engine.client.asked[-2:]
    assert first["messages"] == second["messages"]


def test_attachments_and_settings_are_kept(database, archive, ask, settings):
    wanted = replace(settings, system_prompt="Be brief.")
    conversation = Conversation(owner=OWNER)
    ask(conversation, "1?", wanted, attachments=[Attachment("a.txt", "Hello")])
    archive.save(conversation)
    (turn,) = Archive(database).load(conversation.id).turns
    assert (turn.settings, turn.attachments) == (wanted, (Attachment("a.txt", "Hello"),))


def test_a_conversation_in_use_is_the_same_for_all(archive, talk):
    conversation = talk(("1?", "one"))
    assert archive.load(conversation.id) is conversation


def test_nobody_is_found_by_an_unknown_id(archive):
    assert archive.load("nobody") is None


def test_a_temporary_chat_leaves_no_row(database, archive, ask):
    conversation = Conversation(owner=OWNER, is_temporary=True)
    ask(conversation, "1?")
    archive.save(conversation)
    for table in ("conversations", "turns", "answers", "turn_texts", "title_texts"):
        assert database.read(f"SELECT 1 FROM {table}") == []


def test_only_what_changed_is_written_again(database, archive, talk, ask):
    conversation = talk(("1?", "one"), ("2?", "two"))
    with database.transaction() as connection:
        connection.execute("UPDATE turns SET question = 'untouched'")
    ask(conversation, "3?")
    archive.save(conversation)
    rows = database.read("SELECT question FROM turns ORDER BY number")
    assert [row["question"] for row in rows] == ["untouched", "untouched", "3?"]


def test_a_deleted_turn_goes_from_the_database_and_from_searches(database, archive, talk):
    conversation = talk(("apples", "red"), ("pears", "green"))
    conversation.delete_turn(conversation.turns[0].id)
    archive.save(conversation)
    assert archive.list(OWNER, "red") == []
    assert len(archive.list(OWNER, "green")) == 1
    ((count,),) = database.read("SELECT count(*) FROM answers")
    assert count == 1
    assert len(Archive(database).load(conversation.id).turns) == 1


def test_the_list_has_the_newest_first_and_nobody_elses(archive, talk):
    first, second = talk(("first", "a")), talk(("second", "b"))
    talk(("theirs", "c"), owner="you")
    assert titles(archive.list(OWNER)) == ["second", "first"]
    assert titles(archive.list(OWNER, limit=1, offset=1)) == ["first"]
    (summary, _) = archive.list(OWNER)
    assert (summary.id, summary.turns, summary.snippet) == (second.id, 1, "")
    assert summary.updated_at == second.updated_at > first.updated_at


def test_an_empty_conversation_is_not_listed(archive):
    archive.save(Conversation(owner=OWNER))
    assert archive.list(OWNER) == []


def test_a_renamed_conversation_keeps_its_title(database, archive, talk):
    conversation = talk(("apples", "red"))
    del conversation
    gc.collect()
    (summary,) = archive.list(OWNER)
    archive.rename(summary.id, "Orchard")
    assert Archive(database).load(summary.id).title == "Orchard"
    archive.rename(summary.id, "")
    assert titles(archive.list(OWNER)) == ["apples"]


def test_a_renamed_conversation_in_use_knows_it(archive, talk):
    conversation = talk(("apples", "red"))
    archive.rename(conversation.id, "Orchard")
    assert conversation.title == "Orchard"


def test_a_deleted_conversation_comes_back_when_it_is_restored(database, archive, talk):
    conversation = talk(("apples", "red"))
    archive.delete(conversation.id)
    assert archive.list(OWNER) == archive.list(OWNER, "apples") == []
    assert archive.load(conversation.id) is Archive(database).load(conversation.id) is None
    with pytest.raises(RequestError, match="deleted"):
        archive.rename(conversation.id, "Orchard")

    archive.restore(conversation.id)
    assert archive.load(conversation.id) is conversation
    assert titles(archive.list(OWNER)) == ["apples"]


def test_saving_does_not_bring_a_deleted_conversation_back(archive, talk):
    conversation = talk(("apples", "red"))
    archive.delete(conversation.id)
    archive.save(conversation)
    assert archive.list(OWNER) == []


def test_deleting_stops_the_answer_that_is_being_written(archive, engine, board, settings):
    conversation, gate = Conversation(owner=OWNER), Gate()
    engine.client.scripts.append([gate])
    job = conversation.ask("1?", settings, board=board, runtime=engine)
    archive.save(conversation)
    archive.delete(conversation.id)
    assert job.wait(5)
    gate.opened.set()


def test_what_was_deleted_longer_ago_is_purged_with_all_its_texts(database, archive, talk):
    conversation = talk(("apples", "red"))
    archive.delete(conversation.id)
    archive.purge(older_than_s=60)
    archive.restore(conversation.id)
    assert titles(archive.list(OWNER)) == ["apples"]

    archive.delete(conversation.id)
    archive.purge(older_than_s=0)
    for table in ("conversations", "turns", "answers", "turn_texts", "title_texts"):
        assert database.read(f"SELECT 1 FROM {table}") == []


def test_a_deletion_purges_what_was_deleted_long_ago(database, archive, talk):
    old, new = talk(("apples", "red")), talk(("pears", "green"))
    archive.delete(old.id)
    with database.transaction() as connection:
        connection.execute("UPDATE conversations SET deleted_at = deleted_at - 100000")
    archive.delete(new.id)
    assert [row["id"] for row in database.read("SELECT id FROM conversations")] == [new.id]


def test_a_purged_conversation_can_be_saved_whole_again(database, archive, talk):
    conversation = talk(("apples", "red"))
    archive.delete(conversation.id)
    archive.purge(older_than_s=0)
    archive.save(conversation)
    assert len(Archive(database).load(conversation.id).turns) == 1


def test_an_answer_that_cannot_be_read_leaves_the_rest_in_place(database, talk):
    conversation = talk(("1?", "one"), ("2?", "two"))
    with database.transaction() as connection:
        connection.execute(
            "UPDATE answers SET record = '{broken' WHERE turn_id = ?", (conversation.turns[0].id,)
        )
    first, second = Archive(database).load(conversation.id).turns
    assert (first.answer.state, first.answer.text) == ("failed", "")
    assert "cannot be read" in first.answer.error
    assert second.answer.text == "two"


def test_an_answer_found_half_written_was_cut_off_and_is_found_by_searches(
    database, archive, engine, board, settings
):
    conversation, gate = Conversation(owner=OWNER), Gate()
    steps = [Started(3, 0, 7, BASELINE), round_of(["Once", " upon"], drafted=3), gate]
    engine.client.scripts.append(steps)
    job = conversation.ask("1?", settings, board=board, runtime=engine)
    assert gate.reached.wait(5)
    archive.save(conversation)

    later = Archive(database)
    later.mend()
    (turn,) = later.load(conversation.id).turns
    assert (turn.answer.state, turn.answer.text) == ("failed", "Once upon")
    assert "the app ended" in turn.answer.error
    assert turn.answer.can_go_on
    assert len(later.list(OWNER, "upon")) == 1
    gate.opened.set()
    assert job.wait(5)


def test_a_database_that_fails_is_explained(database, archive, talk):
    conversation = talk(("1?", "one"))
    database.close()
    conversation.rename("Other")
    with pytest.raises(StorageError, match="cannot be used"):
        archive.save(conversation)
