"""Versions of questions and answers, and the branch that is shown."""

from __future__ import annotations

from tests.chat.stand_in import script
from utils.chat.conversation import Conversation


def sent(engine):
    return [(m.role, m.content) for m in engine.client.asked[-1]["messages"]]


def texts(conversation):
    return [turn.answer.text for turn in conversation.turns]


def three_turns(engine, ask):
    conversation = Conversation()
    engine.client.scripts += [script(["one"]), script(["two"]), script(["three"])]
    for question in ("1?", "2?", "3?"):
        ask(conversation, question)
    return conversation


def test_the_answer_before_stays_as_a_version(engine, ask, board, settings):
    conversation = Conversation()
    engine.client.scripts += [script(["one"]), script(["un"])]
    ask(conversation, "1?")
    assert conversation.regenerate(settings, board=board, runtime=engine).wait(5)
    (new,) = conversation.turns
    versions = conversation.versions_of(new.id)
    assert (versions.position, len(versions.turn_ids)) == (2, 2)

    conversation.show(versions.turn_ids[0])
    assert texts(conversation) == ["one"]
    assert conversation.versions_of(conversation.turns[0].id).position == 1


def test_any_answer_can_be_written_again_and_what_followed_stays_in_its_branch(
    engine, ask, board, settings
):
    conversation = three_turns(engine, ask)
    first = conversation.turns[0]
    engine.client.scripts.append(script(["un"]))
    assert conversation.regenerate(settings, board=board, runtime=engine, turn_id=first.id).wait(5)
    assert texts(conversation) == ["un"]

    conversation.show(first.id)
    assert texts(conversation) == ["one", "two", "three"]


def test_an_edited_question_begins_a_branch_and_sees_only_what_stands_before_it(
    engine, ask, board, settings
):
    conversation = three_turns(engine, ask)
    second = conversation.turns[1]
    engine.client.scripts.append(script(["zwei"]))
    assert conversation.edit(second.id, "2!", settings, board=board, runtime=engine).wait(5)

    assert [turn.question for turn in conversation.turns] == ["1?", "2!"]
    assert sent(engine) == [("user", "1?"), ("assistant", "one"), ("user", "2!")]
    assert len(conversation.all_turns) == 4


def test_showing_a_turn_goes_on_to_the_newest_that_followed(engine, ask, board, settings):
    conversation = three_turns(engine, ask)
    first, second, third = conversation.turns
    assert conversation.regenerate(settings, board=board, runtime=engine).wait(5)
    newest = conversation.turns[-1]
    conversation.show(third.id)
    conversation.show(first.id)
    assert conversation.turns[-1].id == newest.id
    conversation.show(third.id)
    assert [turn.id for turn in conversation.turns] == [first.id, second.id, third.id]


def test_a_question_is_asked_after_the_branch_that_is_shown(engine, ask, board, settings):
    conversation = Conversation()
    engine.client.scripts += [script(["one"]), script(["un"]), script(["two"])]
    ask(conversation, "1?")
    assert conversation.regenerate(settings, board=board, runtime=engine).wait(5)
    conversation.show(conversation.all_turns[0].id)
    ask(conversation, "2?")
    assert sent(engine) == [("user", "1?"), ("assistant", "one"), ("user", "2?")]


def test_what_followed_a_deleted_turn_moves_up(engine, ask):
    conversation = three_turns(engine, ask)
    conversation.delete_turn(conversation.turns[1].id)
    assert texts(conversation) == ["one", "three"]
    ask(conversation, "4?")
    assert [content for _, content in sent(engine)] == ["1?", "one", "3?", "three", "4?"]


def test_the_last_turn_deleted_leaves_the_ones_before(engine, ask):
    conversation = three_turns(engine, ask)
    conversation.delete_turn(conversation.turns[-1].id)
    assert texts(conversation) == ["one", "two"]
    for turn in conversation.turns:
        conversation.delete_turn(turn.id)
    assert conversation.turns == conversation.all_turns == ()
