from __future__ import annotations

import json
import time
import tomllib
from dataclasses import replace

import pytest

from config import ROOT, SamplingParams, SpeculativeConfig
from utils.chat.conversation import AnswerSettings, Attachment, Conversation, ConversationState
from utils.chat.exports import HEAD_BYTES, MAX_FILE_BYTES, MAX_FILE_MB, to_json, to_parts
from utils.chat.imports import from_json, from_parts
from utils.chat.markdown_export import to_markdown
from utils.chat.turns import MAX_ATTACHMENT_CHARS, MAX_ATTACHMENTS, new_turn
from utils.errors import RequestError
from utils.experiments.ratings import Rating


@pytest.fixture
def conversation(talk, ask, board, settings, engine):
    conversation = talk(("1?", "one"), ("2?", "two"))
    assert conversation.regenerate(settings, board=board, runtime=engine).wait(5)
    ask(conversation, "3?", attachments=[Attachment("a.txt", "``` <b>")])
    conversation.rename("Numbers \N{SNOWMAN}")
    return conversation


@pytest.fixture
def data(conversation):
    return json.loads(to_json(conversation))


def said(conversation):
    """All of a conversation but its ids, and the messages that follow from its turns."""
    state = conversation.state()
    places = {turn.id: place for place, turn in enumerate(state.turns)}
    turns = [
        (
            places.get(turn.parent_id),
            turn.question,
            turn.attachments,
            turn.settings,
            turn.asked_at,
            replace(turn.answer, request=replace(turn.answer.request, messages=(), owner="")),
        )
        for turn in state.turns
    ]
    times = state.created_at, state.updated_at
    return state.title, times, places.get(state.shown_id), turns


def test_a_conversation_comes_back_from_its_file_without_loss(conversation):
    again = from_json(to_json(conversation), "you").conversation
    assert said(again) == said(conversation)
    assert again.owner == "you"
    assert to_json(from_json(to_json(again), "you").conversation).count('"id"') == 4


def test_an_import_is_another_conversation_and_can_be_kept_beside_the_first(conversation, archive):
    first, second = (from_json(to_json(conversation), "me").conversation for _ in range(2))
    ids = {turn.id for c in (conversation, first, second) for turn in c.all_turns}
    assert len(ids) == 12
    for imported in (first, second):
        archive.save(imported)
    assert len(archive.list("me")) == 3


def test_an_answer_exported_half_written_is_cut_off(conversation, data):
    data["turns"][-1]["answer"]["state"] = "writing"
    again = from_json(json.dumps(data), "me").conversation
    assert not again.is_answering
    assert "the app ended" in again.turns[-1].answer.error


def test_a_turn_without_an_answer_can_be_shown(data):
    data["turns"][0]["answer"] = None
    assert from_json(json.dumps(data), "me").conversation.all_turns[0].answer.state == "failed"


def test_a_file_does_not_say_whose_it_was(talk):
    conversation = talk(("1?", "one"), owner="secret-id")
    assert "secret-id" not in to_json(conversation) + to_markdown(conversation)


def first_turn(data):
    return data["turns"][0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(format="other"), "no conversation"),
        (lambda d: d.update(version=3), "update the app"),
        (lambda d: d.update(version=2), "which part"),
        (lambda d: d.update(version=2, export="x", parts=2, part=2), "part 1 of 2 is missing"),
        (lambda d: d.update(version=2, export="x", parts=10**9, part=1), "part 2 of"),
        (lambda d: d.update(version=2, export="x", parts=0, part=1), "no parts of one chat"),
        (lambda d: d.update(version="1" * 999), "update the app"),
        (lambda d: d.update(turns=None), "no list"),
        (lambda d: d.update(turns=[{}] * 10_001), "no list"),
        (lambda d: d.update(title=["x"]), "`title`"),
        (lambda d: d.update(created_at="now"), "`created_at`"),
        (lambda d: d.update(created_at=-1), "`created_at`"),
        (lambda d: d.update(updated_at="now"), "`updated_at`"),
        (lambda d: first_turn(d).update(rating="good"), "rating"),
        (lambda d: first_turn(d).update(rating={"thumb": 1}), "rating"),
        (lambda d: first_turn(d).update(rating={"speed": 6}), "rating"),
        (lambda d: first_turn(d).update(rating={"speed": True}), "rating"),
        (lambda d: d["turns"].append(1), "no JSON object"),
        (lambda d: d["turns"].append(first_turn(d)), "that of another"),
        (lambda d: first_turn(d).update(id=None), "no id"),
        (lambda d: first_turn(d).update(parent="nobody"), "none before it"),
        (lambda d: first_turn(d).update(parent=first_turn(d)["id"]), "none before it"),
        (lambda d: first_turn(d).update(parent=[]), "none before it"),
        (lambda d: first_turn(d).update(question=1), "`question`"),
        (lambda d: first_turn(d).update(question="x" * 1_000_001), "`question`"),
        (lambda d: first_turn(d).update(asked_at=1e300), "too large"),
        (lambda d: first_turn(d).update(asked_at=True), "`asked_at`"),
        (lambda d: first_turn(d).update(settings=[]), "settings"),
        (lambda d: first_turn(d).update(answer="x"), "an answer"),
        (lambda d: first_turn(d)["answer"].update(started_at=-5), "`started_at`"),
        (lambda d: first_turn(d)["answer"]["stats"].update(drafted=-1), "negative"),
        (lambda d: first_turn(d)["answer"]["stats"].update(drafted=10**30), "too large"),
        (lambda d: first_turn(d).update(attachments="x"), "attachments"),
        (lambda d: first_turn(d).update(attachments=[1]), "attachments"),
        (lambda d: first_turn(d).update(attachments=[{"name": "", "text": ""}]), "name"),
        (lambda d: first_turn(d).update(question="\ud800"), "no sound JSON"),
    ],
)
def test_a_file_that_is_wrong_is_explained(data, change, reason):
    change(data)
    with pytest.raises(RequestError, match=reason):
        from_json(json.dumps(data), "me")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", '{"version": NaN}', "[" * 100_000, '{"a": 1e999}'],
)
def test_what_is_no_such_file_at_all_is_explained(text):
    with pytest.raises(RequestError, match="here"):
        from_json(text, "me")


def test_a_file_that_is_too_long_is_not_even_read(monkeypatch):
    monkeypatch.setattr("utils.chat.imports.MAX_FILE_CHARS", 9)
    with pytest.raises(RequestError, match="10 characters, 9 is the most: export less"):
        from_json("{" * 10, "me")


def test_ratings_come_back_for_the_answers_that_they_were_given_to(conversation):
    first, _, third, _ = (turn.job_id for turn in conversation.all_turns)
    said = {first: Rating(thumb=False), third: Rating(thumb=True, speed=5), "another": Rating(True)}
    again = from_json(to_json(conversation, said), "you")
    one, _, three, _ = (turn.job_id for turn in again.conversation.all_turns)
    assert again.ratings == {one: said[first], three: said[third]}
    assert one != first


def test_a_file_from_before_ratings_were_exported_has_none(data):
    assert not any("rating" in turn for turn in data["turns"])
    assert from_json(json.dumps(data), "me").ratings == {}


def test_times_that_are_not_told_or_still_to_come_are_those_of_the_import(data):
    before = time.time()
    del data["updated_at"]
    data["created_at"] = before + 1e6
    state = from_json(json.dumps(data), "me").conversation.state()
    assert before <= state.created_at <= state.updated_at <= time.time()


def test_what_is_exported_of_a_long_chat_can_be_imported():
    settings = AnswerSettings(SamplingParams(), SpeculativeConfig())
    files = tuple(Attachment("a.txt", "x" * MAX_ATTACHMENT_CHARS) for _ in range(MAX_ATTACHMENTS))
    turns = [new_turn(None, "?", files, settings) for _ in range(25)]
    state = ConversationState("id", "me", "", 0.0, 0.0, tuple(turns), turns[-1].id)
    text = to_json(Conversation.of(state))
    assert len(text) > 32 * 2**20
    assert len(from_json(text, "me").conversation.all_turns) == 25


@pytest.fixture
def long_files(monkeypatch):
    """Files may have 1500 bytes, beside what is around their turns: a turn each."""
    monkeypatch.setattr("utils.chat.exports.MAX_FILE_BYTES", HEAD_BYTES + 1500)


def test_a_chat_that_is_too_long_for_a_file_comes_back_from_parts_in_any_order(
    long_files, conversation
):
    rated = {conversation.all_turns[2].job_id: Rating(thumb=True, speed=5)}
    parts = to_parts(conversation, rated)
    assert len(parts) == 4
    again = from_parts([parts[2], parts[0], parts[3], parts[1]], "you")
    assert said(again.conversation) == said(conversation)
    assert list(again.ratings) == [again.conversation.all_turns[2].job_id]
    assert conversation.id not in "".join(parts)


def test_a_part_that_is_missing_or_of_another_chat_is_told_of(long_files, conversation, talk):
    first, second, third, fourth = to_parts(conversation)
    with pytest.raises(RequestError, match="part 3 of 4 is missing"):
        from_parts([first, second, fourth], "me")
    with pytest.raises(RequestError, match="part 1 of 4 is missing"):
        from_json(second, "me")
    with pytest.raises(RequestError, match="no parts of one chat"):
        from_parts([first, second, third, fourth, second], "me")
    others = to_parts(talk(("4?", "four"), ("5?", "five")))
    with pytest.raises(RequestError, match="not of one export"):
        from_parts([first, *others], "me")
    whole = to_json(conversation)
    with pytest.raises(RequestError, match="import one chat after the other"):
        from_parts([whole, whole], "me")
    data = json.loads(first)
    many = [json.dumps(data | {"parts": 10**15, "part": part}) for part in range(1, 65)]
    with pytest.raises(RequestError, match="no parts of one chat"):
        from_parts(many, "me")


def test_of_several_files_the_one_that_is_none_is_named(conversation):
    with pytest.raises(RequestError, match=r"^file 2 of 3: the file holds no conversation: "):
        from_parts([to_json(conversation), "{}", "["], "me")


def test_browser_and_server_take_a_file_of_the_most_that_is_exported():
    server = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["server"]
    assert MAX_FILE_BYTES <= MAX_FILE_MB * 10**6
    assert server["maxUploadSize"] * 2**20 > MAX_FILE_BYTES + 2**20


def test_a_chat_that_fits_in_a_file_is_one_file(conversation):
    assert to_parts(conversation) == (to_json(conversation),)


def test_a_part_has_no_more_turns_than_can_be_imported(monkeypatch, conversation):
    monkeypatch.setattr("utils.chat.exports.MAX_TURNS", 3)
    parts = to_parts(conversation)
    assert len(parts) == 2
    assert said(from_parts(parts, "me").conversation) == said(conversation)


def test_markdown_has_the_branch_that_is_shown(conversation):
    text = to_markdown(conversation)
    assert text.startswith("# Numbers \N{SNOWMAN}\n")
    assert text.count("## Question") == text.count("## Answer") == 3
    assert "two" not in text
    assert "1970" not in text


def test_no_text_of_a_user_or_model_is_html_or_a_picture_in_markdown(talk, ask, engine):
    conversation = talk(
        ("<script>x</script>\n```\nnot closed", "<img src=x> ![a](http://b) **bold**"),
        ("2?", "<think>\n<b>Hm.\n</think>\n\nYes."),
    )
    conversation.rename("<b> *title*")
    text = to_markdown(conversation)
    assert "# \\<b\\> \\*title\\*" in text
    assert "````text\n<script>x</script>\n```\nnot closed\n````" in text
    assert "&lt;img" in text
    assert "![" not in text
    assert "**bold**" in text
    assert "> *Thought:*\n>\n> &lt;b>Hm." in text


def test_an_empty_conversation_can_be_exported():
    conversation = Conversation(owner="me")
    assert to_markdown(conversation) == "# Chat\n"
    assert from_json(to_json(conversation), "me").conversation.turns == ()
