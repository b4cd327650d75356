from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.state.query_params import QueryParams

from pages.parts.conversation_list import LISTED, group_by_day
from pages.parts.transfer import file_name, rated_parts
from tests.chat.stand_in import BASELINE, Gate, round_of, script
from tests.pages.steps import ask, check, job_of, open_page, shown, wait_for_answer
from utils.chat.archive import ConversationSummary, get_archive
from utils.chat.exports import HEAD_BYTES, to_json
from utils.errors import StorageError
from utils.events import Started
from utils.experiments.ratings import Rating, load_rating, save_rating

JSON = "application/json"
pytestmark = pytest.mark.usefixtures("browser")


def say(page, question):
    ask(page, question)
    return wait_for_answer(page)


def new_chat(page):
    return check(page.button(key="new_chat").click().run())


def titles(page):
    return [button.label for button in page.button if str(button.key).startswith("select_chat")]


def select(page, title):
    (row,) = (button for button in page.button if button.label == title)
    return check(row.click().run())


def act(page, title, action):
    (menu,) = (menu for menu in page.menu_button if menu.label == f"More about {title}")
    return check(menu.click(action).run())


def rename(page, title, name):
    act(page, title, "Rename")
    (field,) = (field for field in page.text_input if field.label == "New name")
    assert field.value == title
    field.set_value(name)
    (keep,) = (button for button in page.button if button.label == "Keep this name")
    check(keep.click().run())


def keys(page):
    return {str(element.key) for element in (*page.button, *page.text_input, *page.menu_button)}


@pytest.fixture
def chats(page):
    """Three chats, the newest first: about cats, foxes and bears; the one about cats is open."""
    for animal in ("bears", "foxes", "cats"):
        new_chat(page)
        say(page, f"Tell me of {animal}")
    return page


def test_chats_are_listed_newest_first_under_the_first_question(chats):
    assert titles(chats) == ["Tell me of cats", "Tell me of foxes", "Tell me of bears"]
    assert "Today" in [caption.value for caption in chats.caption]


def test_the_list_is_there_in_another_session_of_the_same_browser(chats):
    assert titles(open_page()) == titles(chats)


def test_another_browser_lists_none_of_it_and_opens_a_chat_by_its_address(chats, monkeypatch):
    monkeypatch.setattr("pages.parts.browser.browser_id", lambda: "another-of-22-characters")
    other = open_page(chat=chats.query_params["chat"])
    assert "Tell me of cats" in shown(other)
    assert titles(other) == []


def test_a_click_opens_a_chat_and_new_turns_go_there(engine, chats):
    select(chats, "Tell me of bears")
    assert "Tell me of bears" in shown(chats)
    assert "Tell me of cats" not in shown(chats)

    say(chats, "And of cubs?")
    asked = [message.content for message in engine.client.asked[-1]["messages"]]
    assert asked[0] == "Tell me of bears"
    assert titles(chats)[0] == "Tell me of bears"


def test_a_browser_that_has_the_address_of_a_chat_is_not_told_again(chats, monkeypatch):
    told = []
    monkeypatch.setattr(QueryParams, "_send_query_param_msg", told.append)
    check(chats.run())
    assert chats.query_params["chat"]
    assert not told


def test_the_open_chat_is_marked(chats):
    kinds = {button.label: button.proto.type for button in chats.button}
    assert (kinds["Tell me of cats"], kinds["Tell me of bears"]) == ("secondary", "tertiary")


def test_a_chat_is_renamed_in_its_place(chats):
    rename(chats, "Tell me of foxes", "  Reynard ")
    assert titles(chats)[1] == "Reynard"
    assert titles(open_page())[1] == "Reynard"
    assert not any(field.label == "New name" for field in chats.text_input)


def test_a_name_that_says_nothing_new_changes_nothing(chats):
    rename(chats, "Tell me of foxes", "Reynard")
    rename(chats, "Reynard", "Reynard")
    assert titles(chats)[1] == "Reynard"


def test_a_name_that_is_taken_away_leaves_the_automatic_one(chats):
    rename(chats, "Tell me of foxes", "Reynard")
    rename(chats, "Reynard", " ")
    assert titles(chats)[1] == "Tell me of foxes"


def test_a_rename_can_be_cancelled(chats):
    act(chats, "Tell me of foxes", "Rename")
    (field,) = (field for field in chats.text_input if field.label == "New name")
    field.set_value("Reynard")
    # To leave the field draws nothing: it is in a form.
    assert field.form_id
    (cancel,) = (button for button in chats.button if button.label == "Keep the old name")
    check(cancel.click().run())
    assert titles(chats)[1] == "Tell me of foxes"
    assert not any(field.label == "New name" for field in chats.text_input)


def test_a_deleted_chat_is_gone_and_undo_brings_it_back(chats):
    act(chats, "Tell me of cats", "Delete")
    assert titles(chats) == ["Tell me of foxes", "Tell me of bears"]
    assert chats.title[0].value == "Ask, and watch it draft"
    assert "chat" not in chats.query_params
    assert not chats.toast

    check(chats.button(key="undo_delete").click().run())
    assert len(titles(chats)) == 3
    assert "Tell me of cats" in shown(chats)
    assert "undo_delete" not in keys(chats)


def test_a_chat_deleted_in_another_window_closes_with_a_word(chats):
    act(open_page(), "Tell me of cats", "Delete")
    check(chats.run())
    assert "deleted in another window" in chats.toast[0].value
    assert "Tell me of cats" not in shown(chats)


def test_deleting_stops_the_answer_that_is_being_written(engine, page):
    gate = Gate()
    engine.client.scripts.append([Started(3, 0, 1, BASELINE), round_of(["Half"], drafted=2), gate])
    ask(page, "Hello?")
    assert gate.reached.wait(10)
    job = job_of(page)
    act(page, "Hello?", "Delete")
    assert job.wait(10)
    assert job.snapshot().state == "stopped"
    assert titles(page) == []
    gate.opened.set()


def test_a_temporary_chat_is_in_no_list_and_says_so(engine, page, database):
    check(page.menu_button(key="icon_only_chats").click("New temporary chat").run())
    say(page, "Hush?")

    assert titles(page) == []
    assert "Temporary chat" in shown(page)
    assert engine.client.asked[0]["owner"] != "a-browser-of-22-chars-"
    assert database.read("SELECT * FROM turns") == []
    new_chat(page)
    assert "Temporary chat" not in shown(page)


def test_search_finds_words_of_questions_and_answers(engine, chats):
    engine.client.scripts.append(script(["They", " purr", "."]))
    say(chats, "What do they do?")
    check(chats.button(key="search_chats").click().run())
    check(chats.text_input(key="chat_query").set_value("purr").run())
    found = [button.label for button in chats.button if str(button.key).startswith("found_")]
    assert found == ["Tell me of cats"]
    assert any("purr" in caption.value for caption in chats.caption)

    check(chats.text_input(key="chat_query").set_value('nothing" OR').run())
    assert "No chat has these words" in shown(chats)


def test_a_click_on_what_was_found_opens_it_and_ends_the_search(chats):
    check(chats.button(key="search_chats").click().run())
    check(chats.text_input(key="chat_query").set_value("bears").run())
    (found,) = (button for button in chats.button if str(button.key).startswith("found_"))
    check(found.click().run())
    assert "Tell me of bears" in shown(chats)
    assert "chat_query" not in keys(chats)


def test_many_chats_are_listed_in_parts(chats, engine):
    archive = get_archive()
    (newest, *_) = archive.list("a-browser-of-22-chars-", limit=1)
    text = to_json(archive.load(newest.id))
    for _ in range(LISTED):
        check(chats.menu_button(key="icon_only_chats").click("Import a chat").run())
        check(chats.file_uploader(key="imported_file").upload("a.json", text.encode()).run())
    assert len(titles(chats)) == LISTED
    check(chats.button(key="older_chats").click().run())
    assert len(titles(chats)) == LISTED + 3


def test_an_exported_chat_can_be_imported_and_is_then_open(chats):
    archive = get_archive()
    (newest, *_) = archive.list("a-browser-of-22-chars-", limit=1)
    text = to_json(archive.load(newest.id))
    new_chat(chats)
    check(chats.menu_button(key="icon_only_chats").click("Import a chat").run())
    check(chats.file_uploader(key="imported_file").upload("a.json", text.encode()).run())

    assert titles(chats).count("Tell me of cats") == 2
    assert "Hello there." in shown(chats)
    assert "imported" in chats.toast[0].value
    assert not chats.get("file_uploader")


def test_a_file_is_let_go_of_once_it_is_imported(chats, monkeypatch):
    held = []
    add = MemoryUploadedFileManager.add_file

    def note(files, session_id, file):
        held.append(files.file_storage[session_id])
        add(files, session_id, file)

    monkeypatch.setattr(MemoryUploadedFileManager, "add_file", note)
    (text,) = rated_parts(chats.session_state["conversation"])
    check(chats.menu_button(key="icon_only_chats").click("Import a chat").run())
    check(chats.file_uploader(key="imported_file").upload("a.json", b"{}").run())
    assert chats.error
    assert len(held[-1]) == 1
    check(chats.file_uploader(key="imported_file").upload("b.json", text.encode()).run())
    assert not any(held[-1].values())


def test_ratings_go_out_with_a_chat_and_come_in_with_it(chats, database):
    (turn,) = chats.session_state["conversation"].turns
    save_rating(database, turn.job_id, Rating(thumb=True, speed=4))
    (text,) = rated_parts(chats.session_state["conversation"])
    check(chats.menu_button(key="icon_only_chats").click("Import a chat").run())
    check(chats.file_uploader(key="imported_file").upload("a.json", text.encode()).run())

    (imported,) = chats.session_state["conversation"].turns
    assert imported.job_id != turn.job_id
    assert load_rating(database, imported.job_id) == Rating(thumb=True, speed=4)
    assert "imported" in chats.toast[0].value


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{}", b"[" * 100_000, json.dumps([1]).encode()])
def test_a_file_that_is_no_chat_is_explained(chats, content):
    check(chats.menu_button(key="icon_only_chats").click("Import a chat").run())
    check(chats.file_uploader(key="imported_file").upload("a.json", content).run())
    assert chats.error
    assert len(titles(chats)) == 3


def test_export_offers_markdown_and_json(chats):
    act(chats, "Tell me of foxes", "Export")
    buttons = chats.get("download_button")
    assert [button.label for button in buttons] == ["Markdown, to read", "JSON, all of it"]


def test_a_chat_that_is_too_long_for_a_file_goes_out_and_comes_in_in_parts(chats, monkeypatch):
    monkeypatch.setattr("utils.chat.exports.MAX_FILE_BYTES", HEAD_BYTES + 1500)
    say(chats, "And of kittens?")
    act(chats, "Tell me of cats", "Export")
    labels = [button.label for button in chats.get("download_button")]
    assert labels == ["Markdown, to read", "JSON, part 1 of 2", "JSON, part 2 of 2"]

    # As the dialog does when it is closed.
    chats.session_state["exported_chat"] = None
    first, second = rated_parts(chats.session_state["conversation"])
    new_chat(chats)
    check(chats.menu_button(key="icon_only_chats").click("Import a chat").run())
    field = chats.file_uploader(key="imported_file")
    check(field.upload("b.json", second.encode()).run())
    assert "Part 1 of 2 is missing" in chats.error[0].value
    parts = [("b.json", second.encode(), JSON), ("a.json", first.encode(), JSON)]
    check(chats.file_uploader(key="imported_file").set_value(parts).run())
    assert titles(chats).count("Tell me of cats") == 2
    assert "And of kittens?" in shown(chats)


def test_the_chat_works_where_nothing_can_be_kept(engine, monkeypatch):
    def refuse():
        raise StorageError("the disk is full; make room")

    monkeypatch.setattr("utils.storage.database.get_database", refuse)
    page = open_page()
    say(page, "Hello?")
    assert "Hello there." in shown(page)
    captions = [caption.value for caption in page.caption if "disk is full" in caption.value]
    assert captions[0].startswith(":material/warning: Conversations are not kept at present")
    assert "Chats cannot be listed" not in shown(page)


def test_a_chat_whose_answer_is_being_written_is_marked(engine, chats):
    gate = Gate()
    engine.client.scripts.append([gate, *script(["Meow"])])
    ask(chats, "What do they say?")
    assert gate.reached.wait(10)
    select(chats, "Tell me of bears")
    marks = {button.label: button.proto.icon for button in chats.button}
    assert (marks["Tell me of cats"], marks["Tell me of bears"]) == ("spinner", "")

    gate.opened.set()
    select(chats, "Tell me of cats")
    wait_for_answer(chats)
    assert not any(button.proto.icon == "spinner" for button in chats.button)


def test_days_are_those_of_the_reader():
    now = datetime(2026, 3, 10, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    chats = [
        ConversationSummary(f"{hours}", "t", (now - timedelta(hours=hours)).timestamp(), 1, "")
        for hours in (0, 2, 24, 26, 700)
    ]
    groups = group_by_day(chats, now)
    assert {day: [chat.id for chat in group] for day, group in groups.items()} == {
        "Today": ["0"],
        "Yesterday": ["2", "24"],
        "Earlier": ["26", "700"],
    }
    assert list(group_by_day(chats, now.astimezone(UTC))) == ["Today", "Yesterday", "Earlier"]


@pytest.mark.parametrize(
    ("title", "name"),
    [("Why? C:\\x/../y", "Why-C-x-y.md"), ("", "chat.md"), ("Größe 5", "Größe-5.md")],
)
def test_a_title_becomes_a_file_name_for_every_system(title, name):
    assert file_name(title, "md") == name
