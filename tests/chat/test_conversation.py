from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chat.stand_in import BASELINE, Gate, finished, round_of, script
from utils.chat.conversation import Attachment, Conversation
from utils.errors import EngineCrashedError, RequestError
from utils.events import Started
from utils.experiments.rollout import Enrolment


def sent(engine):
    return [(m.role, m.content) for m in engine.client.asked[-1]["messages"]]


def texts(conversation):
    return [turn.answer.text for turn in conversation.turns]


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


def test_regenerating_shows_a_new_answer_in_place_of_the_last(engine, ask, board, settings):
    conversation = Conversation()
    engine.client.scripts += [script(["one"]), script(["two"]), script(["deux"])]
    ask(conversation, "1?")
    ask(conversation, "2?")
    job = conversation.regenerate(settings, board=board, runtime=engine)
    assert job.wait(5)

    assert texts(conversation) == ["one", "deux"]
    assert sent(engine) == [("user", "1?"), ("assistant", "one"), ("user", "2?")]


def test_an_answer_being_written_is_not_deleted_but_stopped_first(engine, board, settings):
    conversation, gate = Conversation(), Gate()
    engine.client.scripts.append([gate])
    job = conversation.ask("1?", settings, board=board, runtime=engine)
    assert conversation.answering_turn == conversation.turns[0]
    with pytest.raises(RequestError, match="stop it first"):
        conversation.delete_turn(conversation.turns[0].id)

    conversation.stop()
    assert job.wait(5)
    conversation.delete_turn(conversation.turns[0].id)
    assert conversation.turns == ()
    gate.opened.set()


@pytest.mark.parametrize("call", ["show", "delete_turn", "versions_of"])
def test_a_turn_that_is_gone_is_named_as_such(call):
    with pytest.raises(RequestError, match="reload the page"):
        getattr(Conversation(), call)("nobody")


def test_an_answer_cut_at_its_limit_goes_on_in_its_turn(engine, ask, board, settings):
    conversation, words = Conversation(), round_of(["Once", " upon"], drafted=3)
    engine.client.scripts += [
        [Started(3, 0, 7, BASELINE), words, finished([words], "length")],
        script([" a", " time"]),
    ]
    ask(conversation, "1?")
    before = conversation.turns[0]
    assert conversation.continue_answer(settings, board=board, runtime=engine).wait(5)

    (turn,) = conversation.turns
    assert (turn.id, turn.answer.text) == (before.id, "Once upon a time")
    asked = engine.client.asked[-1]
    assert asked["written"].text == "Once upon"
    assert asked["sampling"].seed == before.answer.seed == 7
    assert sent(engine) == [("user", "1?")]


def test_a_complete_answer_is_not_gone_on_with(engine, ask, board, settings):
    conversation = Conversation()
    with pytest.raises(RequestError, match="ask first"):
        conversation.continue_answer(settings, board=board, runtime=engine)
    ask(conversation, "1?")
    with pytest.raises(RequestError, match="not cut"):
        conversation.continue_answer(settings, board=board, runtime=engine)
    assert not conversation.is_answering


def test_files_follow_their_question_in_a_fence_they_cannot_close(engine, ask, board, settings):
    conversation = Conversation()
    file = Attachment("no`tes.md", "```\ncode\n```")
    ask(conversation, "What is this?", attachments=[file])
    wanted = "What is this?\n\n`no'tes.md`:\n````\n```\ncode\n```\n````"
    assert sent(engine) == [("user", wanted)]

    turn_id = conversation.turns[0].id
    job = conversation.edit(turn_id, "And now?", settings, board=board, runtime=engine)
    assert job.wait(5)
    assert conversation.turns[0].attachments == (file,)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([Attachment("a", "x")] * 9, "attach fewer"),
        ([Attachment("a", "x" * 200_001)], "attach a part"),
        ([Attachment(" ", "x")], "name of an attached file"),
    ],
)
def test_too_many_or_too_large_files_are_refused(ask, files, reason):
    conversation = Conversation()
    with pytest.raises(RequestError, match=reason):
        ask(conversation, "1?", attachments=files)
    assert conversation.turns == ()


def test_the_first_question_is_the_title_until_another_is_given(engine, ask):
    conversation = Conversation()
    assert conversation.title == ""
    ask(conversation, "\n## Why is the *sky* blue?\nTell me.")
    assert conversation.title == "Why is the *sky* blue?"
    conversation.rename("  About\nlight ")
    assert conversation.title == "About light"
    conversation.rename("")
    assert conversation.title == "Why is the *sky* blue?"


def test_an_answer_of_a_temporary_chat_is_part_of_no_experiment(ask, settings):
    part = replace(settings, enrolment=Enrolment(1, "somebody", "standard"))
    assert ask(Conversation(), "1?", part).snapshot().request.enrolment is not None
    temporary = Conversation(is_temporary=True)
    assert ask(temporary, "1?", part).snapshot().request.enrolment is None


def test_every_change_is_told(engine, ask):
    told = []
    conversation = Conversation()
    conversation.on_change = told.append
    ask(conversation, "1?")
    assert len(told) == 2
    conversation.rename("Light")
    conversation.show(conversation.turns[0].id)
    conversation.delete_turn(conversation.turns[0].id)
    assert len(told) == 5


def test_there_is_nothing_to_regenerate_in_an_empty_conversation(engine, board, settings):
    with pytest.raises(RequestError, match="ask first"):
        Conversation().regenerate(settings, board=board, runtime=engine)


def test_two_conversations_ask_as_two_owners(engine, ask):
    ask(Conversation(), "1?")
    ask(Conversation(), "2?")
    owners = {asked["owner"] for asked in engine.client.asked}
    assert len(owners) == 2


def test_ids_cannot_be_guessed():
    assert len({Conversation().id for _ in range(100)}) == 100
    assert len(Conversation().id) >= 20


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
