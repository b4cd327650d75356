from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chat.stand_in import Gate, script
from utils.chat.conversation import Conversation, ConversationShelf, get_shelf
from utils.errors import EngineCrashedError, RequestError


@pytest.fixture
def ask(engine, board, settings):
    def ask(conversation, question, settings=settings):
        job = conversation.ask(question, settings, board=board, runtime=engine)
        assert job.wait(5)
        return job

    return ask


def sent(engine):
    return [(m.role, m.content) for m in engine.client.asked[-1]["messages"]]


def test_an_answer_is_kept_in_its_turn_though_nobody_looks(engine, ask):
    conversation = Conversation()
    engine.client.scripts.append(script(["Good", " day"]))
    ask(conversation, "Hello?")

    (turn,) = conversation.turns
    assert turn.question == "Hello?"
    assert turn.answer is not None
    assert turn.answer.text == "Good day"
    assert not conversation.is_answering


def test_later_questions_send_the_whole_conversation(engine, ask, settings):
    conversation = Conversation()
    engine.client.scripts += [script(["one"]), script(["two"])]
    ask(conversation, "1?")
    ask(conversation, "2?", replace(settings, system_prompt="Be brief."))

    assert sent(engine) == [
        ("system", "Be brief."),
        ("user", "1?"),
        ("assistant", "one"),
        ("user", "2?"),
    ]


def test_a_failed_answer_without_text_is_left_out_of_the_next_prompt(engine, ask):
    conversation = Conversation()
    engine.client.scripts += [[EngineCrashedError("died")], script(["two"])]
    ask(conversation, "1?")
    ask(conversation, "2?")

    assert sent(engine) == [("user", "2?")]
    assert len(conversation.turns) == 2


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(question, ask):
    conversation = Conversation()
    with pytest.raises(RequestError, match="empty"):
        ask(conversation, question)
    assert conversation.turns == ()


def test_a_second_question_does_not_disturb_a_running_answer(engine, board, settings):
    conversation, gate = Conversation(), Gate()
    engine.client.scripts.append([gate, *script(["one"])])
    job = conversation.ask("1?", settings, board=board, runtime=engine)

    with pytest.raises(RequestError, match="still being written"):
        conversation.ask("2?", settings, board=board, runtime=engine)

    gate.opened.set()
    assert job.wait(5)
    assert job.snapshot().text == "one"


def test_regenerating_puts_a_new_answer_in_place_of_the_last(engine, ask, board, settings):
    conversation = Conversation()
    engine.client.scripts += [script(["one"]), script(["two"]), script(["deux"])]
    ask(conversation, "1?")
    ask(conversation, "2?")
    job = conversation.regenerate(settings, board=board, runtime=engine)
    assert job.wait(5)

    assert [turn.answer.text for turn in conversation.turns] == ["one", "deux"]
    assert sent(engine) == [("user", "1?"), ("assistant", "one"), ("user", "2?")]


def test_there_is_nothing_to_regenerate_in_an_empty_conversation(engine, board, settings):
    with pytest.raises(RequestError, match="ask first"):
        Conversation().regenerate(settings, board=board, runtime=engine)


def test_two_conversations_ask_as_two_owners(engine, ask):
    ask(Conversation(), "1?")
    ask(Conversation(), "2?")
    owners = {asked["owner"] for asked in engine.client.asked}
    assert len(owners) == 2


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


def test_a_full_shelf_keeps_a_conversation_that_is_being_answered(engine, board, settings):
    shelf, gate = ConversationShelf(limit=1), Gate()
    busy, idle, newest = Conversation(), Conversation(), Conversation()
    engine.client.scripts.append([gate])
    job = busy.ask("1?", settings, board=board, runtime=engine)
    for conversation in (busy, idle, newest):
        shelf.put(conversation)

    assert shelf.find(busy.id) is busy
    assert shelf.find(idle.id) is None
    assert shelf.find(newest.id) is newest
    gate.opened.set()
    assert job.wait(5)


def test_ids_cannot_be_guessed():
    assert len({Conversation().id for _ in range(100)}) == 100
    assert len(Conversation().id) >= 20


def test_there_is_one_shelf_a_process():
    assert get_shelf() is get_shelf()


def said_before(engine):
    return engine.client.asked[-1]["messages"][-2]


@pytest.mark.parametrize("opened", ["", "<think>\n"])
def test_a_thought_is_sent_apart_from_the_answer(engine, ask, opened):
    text = "Hm.\n</think>\n\nYes." if opened else "<think>\nHm.\n</think>\n\nYes."
    steps = script([text])
    conversation = Conversation()
    engine.client.scripts.append([replace(steps[0], opened=opened), *steps[1:]])
    ask(conversation, "1?")
    ask(conversation, "2?")
    said = said_before(engine)
    assert (said.content, said.thinking) == ("Yes.", "Hm.")
    assert said.written == "<think>\nHm.\n</think>\n\nYes."


def test_a_thought_that_was_cut_off_is_closed_when_it_is_sent(engine, ask):
    conversation = Conversation()
    engine.client.scripts.append(script(["<think>", "Hm"]))
    ask(conversation, "1?")
    ask(conversation, "2?")
    assert said_before(engine).written == "<think>Hm\n</think>\n\n"


def test_an_empty_thought_is_sent_as_it_was_written(engine, ask):
    conversation, text = Conversation(), "<think>\n\n</think>\n\nYes."
    engine.client.scripts.append(script([text]))
    ask(conversation, "1?")
    ask(conversation, "2?")
    assert (said_before(engine).content, said_before(engine).thinking) == (text, "")


def test_a_conversation_belongs_to_its_owner_or_to_nobody_else():
    alone, mine, too = Conversation(), Conversation(owner="me"), Conversation(owner="me")
    assert alone.owner == alone.id
    assert mine.owner == too.owner == "me"
