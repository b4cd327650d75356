from __future__ import annotations

from tests.pages.steps import ask, check, draw_all, open_page, wait_for_answer
from tests.pages.test_model_choice import LLAMA
from utils.chat.presets import list_presets
from utils.errors import StorageError

BROWSER = "a-browser-of-22-chars-"


def save(page, name):
    page.text_input(key="preset_name").set_value(name)
    return check(page.button(key="save_preset").click().run())


def select(page, label):
    return check(next(button for button in page.button if button.label == label).click().run())


def act(page, label, action):
    menu = next(menu for menu in page.menu_button if menu.label == label)
    return check(menu.click(action).run())


def names(page):
    return [str(b.label) for b in page.button if str(b.key).startswith("select_preset")]


def change(page):
    page.slider(key="setting_temperature").set_value(0.25)
    page.toggle(key="setting_enabled").set_value(False)
    page.number_input(key="setting_max_tokens").set_value(48)
    page.text_area(key="setting_stop").set_value("END")
    page.text_area(key="setting_system_prompt").set_value("Be brief.")
    return draw_all(page)


def test_settings_kept_under_a_name_come_back_by_a_click(engine, browser, page):
    save(change(page), "Brief")
    page.slider(key="setting_temperature").set_value(1.5)
    page.toggle(key="setting_enabled").set_value(True)
    page.text_area(key="setting_stop").set_value("")
    page.text_area(key="setting_system_prompt").set_value("Be long.")
    draw_all(page)

    select(page, "Brief")

    assert page.slider(key="setting_temperature").value == 0.25
    assert page.text_area(key="setting_system_prompt").value == "Be brief."
    ask(page, "Hello?")
    wait_for_answer(page)
    asked = engine.client.asked[0]
    assert (asked["sampling"].temperature, asked["sampling"].max_tokens) == (0.25, 48)
    assert asked["sampling"].stop == ("END",)
    assert not asked["speculative"].enabled
    assert asked["messages"][0].content == "Be brief."


def test_a_preset_brings_its_model_and_not_what_the_model_would_bring(engine, page):
    engine.catalogue.show(LLAMA)
    check(page.run())
    check(page.selectbox(key="setting_model").select("llama:3b").run())
    check(page.slider(key="setting_temperature").set_value(0.9).run())
    save(page, "Warm llama")
    check(page.selectbox(key="setting_model").select("embedded").run())
    assert page.slider(key="setting_temperature").value == 0.8

    select(page, "Warm llama")

    assert page.selectbox(key="setting_model").value == "llama:3b"
    assert page.slider(key="setting_temperature").value == 0.9
    assert page.text_area(key="setting_stop").value == "END"
    check(page.run())
    assert page.slider(key="setting_temperature").value == 0.9


def test_a_chosen_model_and_what_was_changed_of_its_sampling_survive_a_reload(
    engine, browser, page
):
    engine.catalogue.show(LLAMA)
    check(page.run())
    check(page.selectbox(key="setting_model").select("llama:3b").run())
    check(page.number_input(key="setting_top_k").set_value(7).run())

    again = open_page()
    assert again.selectbox(key="setting_model").value == "llama:3b"
    assert again.slider(key="setting_temperature").value == 0.3
    assert again.number_input(key="setting_top_k").value == 7


def test_presets_are_there_in_another_session_of_the_same_browser_only(engine, browser, page):
    save(page, "Brief")
    assert names(open_page()) == ["Brief"]


def test_another_browser_has_none_of_them(engine, page):
    save(page, "Brief")
    assert names(page) == ["Brief"]
    assert names(open_page()) == []


def test_a_preset_is_renamed_overwritten_and_deleted(engine, browser, database, page):
    save(page, "Brief")
    act(page, "More about Brief", "Rename")
    field = next(field for field in page.text_input if field.label == "New name")
    field.set_value("Short")
    select(page, "Keep this name")
    assert names(page) == ["Short"]

    act(page, "More about Short", "Rename")
    next(field for field in page.text_input if field.label == "New name").set_value("")
    select(page, "Keep this name")
    assert "no name" in page.toast[0].value
    assert names(page) == ["Short"]

    change(page)
    act(page, "More about Short", "Update to these settings")
    (preset,) = list_presets(database, BROWSER)
    assert preset.values["temperature"] == 0.25

    act(page, "More about Short", "Delete")
    assert names(page) == []


def test_a_preset_without_a_name_is_explained(page):
    save(page, " ")
    assert "no name" in page.toast[0].value
    assert names(page) == []


def test_a_name_is_shown_as_it_is_typed(page):
    save(page, "**x** :red[y]")
    assert names(page) == ["\\*\\*x\\*\\* :\u2060red\\[y\\]"]


def test_the_chat_works_where_nothing_can_be_kept(engine, browser, monkeypatch):
    def refuse():
        raise StorageError("the disk is full; make room")

    monkeypatch.setattr("utils.storage.database.get_database", refuse)
    page = open_page()
    change(page)
    assert any("disk is full" in caption.value for caption in page.caption)
    ask(page, "Hello?")
    wait_for_answer(page)
    assert engine.client.asked[0]["sampling"].temperature == 0.25


def test_changed_settings_survive_a_reload(engine, browser, page):
    page.toggle(key="setting_show_sources").set_value(True)
    change(page)
    again = open_page()
    assert again.toggle(key="setting_show_sources").value
    assert again.slider(key="setting_temperature").value == 0.25
    assert not again.toggle(key="setting_enabled").value
    assert again.text_area(key="setting_system_prompt").value == "Be brief."
    assert again.text_area(key="setting_stop").value == "END"


def test_a_session_without_a_known_browser_keeps_no_settings(engine, database, page):
    change(page)
    assert open_page().slider(key="setting_temperature").value == 0.8
    assert database.read("SELECT * FROM preferences WHERE name = 'settings'") == []


def test_settings_kept_long_ago_are_checked_again(engine, browser, database):
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO preferences VALUES (?, 'settings', ?)",
            (BROWSER, '{"temperature": 99, "top_k": 7, "verifier": "none", "stop": 3}'),
        )
    page = open_page()
    assert page.slider(key="setting_temperature").value == 0.8
    assert page.number_input(key="setting_top_k").value == 7
    assert page.selectbox(key="setting_verifier").value == "coupled"


def test_json_output_reaches_the_engine_alone_or_with_a_schema(engine, page):
    check(page.toggle(key="setting_json_output").set_value(True).run())
    ask(page, "1?")
    wait_for_answer(page)
    check(page.text_area(key="setting_json_schema").set_value('{"type": "array"}').run())
    ask(page, "2?")
    wait_for_answer(page)

    first, second = (asked["sampling"] for asked in engine.client.asked)
    assert (first.json_output, first.json_schema) == (True, None)
    assert (second.json_output, second.json_schema) == (False, '{"type": "array"}')


def test_a_schema_that_cannot_be_kept_to_is_explained_and_nothing_is_asked(engine, page):
    check(page.toggle(key="setting_json_output").set_value(True).run())
    check(page.text_area(key="setting_json_schema").set_value('{"type": ').run())
    assert "JSON schema is no JSON" in page.error[0].value
    ask(page, "1?")
    assert "JSON schema is no JSON" in page.toast[0].value
    assert engine.client.asked == []
