"""What can be done with a turn of the chat."""

from __future__ import annotations

import json

import pytest

from tests.chat.stand_in import BASELINE, Gate, finished, round_of, script
from tests.pages.steps import ask, check, job_of, open_page, shown, wait_for_answer
from utils.events import Started


def turns(page):
    return page.session_state["conversation"].turns


def questions(page):
    asked = {turn.question for turn in page.session_state["conversation"].all_turns}
    return [text.value for text in page.text if text.value in asked]


def answered(engine, page, *answers):
    """Ask 1?, 2?, ... and have them answered."""
    for number, answer in enumerate(answers, 1):
        engine.client.scripts.append(script([answer]))
        ask(page, f"{number}?")
        wait_for_answer(page)
    return page


def click(page, key):
    return check(page.button(key=key).click().run())


def edit(page, turn, question):
    click(page, f"quiet_edit_{turn.id}")
    page.text_area(key=f"edit_text_{turn.id}").set_value(question)
    (again,) = [button for button in page.button if button.label == "Ask again"]
    return check(again.click().run())


def test_a_question_is_edited_into_another_branch_and_the_first_is_kept(engine, page):
    answered(engine, page, "one", "two")
    engine.client.scripts.append(script(["other"]))
    edit(page, turns(page)[0], "1 otherwise?")
    wait_for_answer(page)

    assert questions(page) == ["1 otherwise?"]
    assert "other" in shown(page)
    assert [message.content for message in engine.client.asked[-1]["messages"]] == ["1 otherwise?"]
    assert "2 / 2" in shown(page)
    click(page, f"quiet_earlier_version_{turns(page)[0].id}")
    assert questions(page) == ["1?", "2?"]
    assert page.button(key=f"quiet_earlier_version_{turns(page)[0].id}").disabled


def test_an_edit_can_be_cancelled(engine, page):
    answered(engine, page, "one")
    click(page, f"quiet_edit_{turns(page)[0].id}")
    assert not questions(page)
    (cancel,) = [button for button in page.button if button.label == "Cancel"]
    check(cancel.click().run())
    assert questions(page) == ["1?"]


def test_an_empty_edit_is_explained_and_stays_open(engine, page):
    answered(engine, page, "one")
    edit(page, turns(page)[0], " ")
    assert "question is empty" in page.toast[0].value
    assert page.text_area(key=f"edit_text_{turns(page)[0].id}")


def test_any_answer_is_written_again_as_another_version(engine, page):
    answered(engine, page, "one", "two")
    engine.client.scripts.append(script(["uno"]))
    click(page, f"quiet_again_{turns(page)[0].id}")
    wait_for_answer(page)

    assert questions(page) == ["1?"]
    assert "uno" in shown(page)
    click(page, f"quiet_earlier_version_{turns(page)[0].id}")
    assert "two" in shown(page)


def test_an_answer_that_was_cut_is_continued_in_its_place(engine, page):
    first = round_of(["Half"], drafted=0)
    cut = [Started(3, 0, 1, BASELINE), first, finished([first], "length")]
    engine.client.scripts += [cut, script([" and half"])]
    ask(page, "1?")
    wait_for_answer(page)
    click(page, "continue")
    wait_for_answer(page)

    assert "Half and half" in shown(page)
    assert len(turns(page)) == 1
    with pytest.raises(KeyError):
        page.button(key="continue")


def test_a_turn_is_deleted(engine, page):
    answered(engine, page, "one", "two")
    more = page.menu_button(key=f"quiet_more_{turns(page)[0].id}")
    check(more.click(more.options[0]).run())
    assert questions(page) == ["2?"]
    assert "deleted" in page.toast[0].value


def test_while_an_answer_is_written_nothing_else_can_be_asked_of_the_chat(engine, page):
    answered(engine, page, "one")
    gate = Gate()
    engine.client.scripts.append([gate, *script(["two"])])
    ask(page, "2?")
    assert gate.reached.wait(10)
    check(page.run())

    earlier = turns(page)[0]
    assert page.button(key=f"quiet_again_{earlier.id}").disabled
    assert page.button(key=f"quiet_edit_{earlier.id}").disabled
    gate.opened.set()
    wait_for_answer(page)
    assert not page.button(key=f"quiet_again_{earlier.id}").disabled


def test_a_copy_button_gets_the_answer_as_it_was_written_without_its_thought(engine, page):
    engine.client.scripts.append(script(["<think>\nHm.\n</think>\n\n", "**Yes** <b>"]))
    ask(page, "1?")
    wait_for_answer(page)
    (button,) = page.get("bidi_component")
    assert json.loads(button.proto.json) == {"text": "**Yes** <b>"}


def attach(page, name, content, question="What is this?"):
    page.chat_input[0].set_value(question).upload(name, content, "text/plain")
    return check(page.chat_input[0].run())


def test_a_text_file_goes_with_the_question_and_is_shown_as_a_chip(engine, page):
    attach(page, "notes.md", b"# Notes\n```\ncode\n```\n")
    wait_for_answer(page)

    assert questions(page) == ["What is this?"]
    prompt = engine.client.asked[0]["messages"][-1].content
    assert prompt.startswith("What is this?")
    assert "`notes.md`:\n````\n# Notes" in prompt
    assert any("notes" in chip.proto.popover.label for chip in page.get("popover"))


def test_a_file_that_is_no_text_is_refused_and_the_question_goes_back(engine, page):
    attach(page, "notes.txt", b"a\0b")
    assert "not a text file" in page.toast[0].value
    assert page.chat_input[0].proto.value == "What is this?"
    assert engine.client.asked == []


def test_the_context_meter_says_how_full_it_is_and_what_was_left_out(engine, page):
    rounds = [round_of(["a", "b"], drafted=1)]
    begin = Started(12, 4, 7, BASELINE, context_tokens=64, dropped_messages=2)
    engine.client.scripts.append([begin, rounds[0], finished(rounds)])
    ask(page, "1?")
    wait_for_answer(page)
    assert "Context: 14 of 64 tokens" in said(page)
    assert "oldest 2 messages were left out" in said(page)


def said(page):
    return " ".join(element.value for element in page.caption).replace("\u2060", "")


def test_of_a_long_conversation_the_newest_turns_are_drawn_and_more_on_request(engine, page):
    answered(engine, page, *(["a"] * 9))
    assert questions(page) == ["7?", "8?", "9?"]
    click(page, "show_earlier")
    assert len(questions(page)) == 9
    with pytest.raises(KeyError):
        page.button(key="show_earlier")


def test_a_second_tab_may_leaf_through_versions_while_the_newest_is_written(browser, engine, page):
    answered(engine, page, "one")
    gate = Gate()
    engine.client.scripts.append([gate, *script(["two"])])
    click(page, "again")
    assert gate.reached.wait(10)
    second = open_page(chat=page.query_params["chat"])
    assert "2 / 2" in shown(second)
    click(second, f"quiet_earlier_version_{turns(second)[0].id}")
    assert "one" in shown(second)
    assert second.button(key="stop")
    gate.opened.set()
    assert job_of(page).wait(10)
