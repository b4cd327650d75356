from __future__ import annotations

import pytest

from utils.chat.presets import (
    MAX_NAME_CHARS,
    MAX_PRESETS,
    delete_preset,
    list_presets,
    rename_preset,
    save_preset,
    sound_values,
)
from utils.errors import RequestError
from utils.storage.database import Database

BRIEF = {
    "temperature": 0.2,
    "seed": None,
    "stop": ("END",),
    "json_schema": "{}",
    "enabled": False,
    "verifier": "block",
    "model": "llama3.2:1b",
    "backend": "ollama",
    "system_prompt": "Be brief.",
}


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "specchat.db")
    yield database
    database.close()


def names(database, owner="ada"):
    return [preset.name for preset in list_presets(database, owner)]


def test_settings_come_back_as_they_were_kept(database):
    save_preset(database, "ada", "Brief", BRIEF)
    (preset,) = list_presets(database, "ada")
    assert (preset.name, preset.values) == ("Brief", BRIEF)


def test_they_outlive_the_process(database):
    save_preset(database, "ada", "Brief", BRIEF)
    database.close()
    again = Database(database.path)
    assert list_presets(again, "ada")[0].values == BRIEF
    again.close()


def test_nobody_else_sees_renames_or_deletes_them(database):
    save_preset(database, "ada", "Brief", BRIEF)
    (preset,) = list_presets(database, "ada")
    assert list_presets(database, "bob") == ()
    rename_preset(database, "bob", preset.id, "Mine")
    delete_preset(database, "bob", preset.id)
    assert names(database) == ["Brief"]


def test_a_name_that_is_there_gets_the_new_settings(database):
    save_preset(database, "ada", "Brief", BRIEF)
    save_preset(database, "ada", "  brief ", {"temperature": 1.0})
    (preset,) = list_presets(database, "ada")
    assert preset.values == {"temperature": 1.0}


def test_they_are_renamed_and_deleted(database):
    for name in ("Brief", "Long"):
        save_preset(database, "ada", name, BRIEF)
    brief, long = list_presets(database, "ada")
    rename_preset(database, "ada", brief.id, "Shortest")
    assert names(database) == ["Long", "Shortest"]
    delete_preset(database, "ada", long.id)
    delete_preset(database, "ada", long.id)
    assert names(database) == ["Shortest"]


def test_a_name_belongs_to_one_preset(database):
    for name in ("Brief", "Long"):
        save_preset(database, "ada", name, BRIEF)
    with pytest.raises(RequestError, match="of that name already: LONG"):
        rename_preset(database, "ada", list_presets(database, "ada")[0].id, "LONG")
    assert names(database) == ["Brief", "Long"]


@pytest.mark.parametrize(
    ("name", "why"), [(" \n ", "no name"), ("x" * (MAX_NAME_CHARS + 1), "too long: 61")]
)
def test_a_name_says_something_and_is_short(database, name, why):
    with pytest.raises(RequestError, match=why):
        save_preset(database, "ada", name, BRIEF)


def test_there_is_an_end_to_how_many_are_kept(database):
    for number in range(MAX_PRESETS):
        save_preset(database, "ada", f"{number}", {})
    with pytest.raises(RequestError, match=f"{MAX_PRESETS} presets already"):
        save_preset(database, "ada", "one more", {})
    save_preset(database, "ada", "7", BRIEF)


def test_what_is_unknown_or_out_of_bounds_is_left_out():
    values = {
        **BRIEF,
        "temperature": 9,
        "top_p": float("nan"),
        "max_tokens": "many",
        "backend": "elsewhere",
        "system_prompt": "x" * 30_000,
        "invented": 1,
    }
    known = {"seed", "stop", "json_schema", "enabled", "verifier", "model"}
    assert set(sound_values(values)) == known


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"temperature": NaN}', "[" * 100_000])
def test_settings_that_cannot_be_read_any_more_are_empty(database, text):
    save_preset(database, "ada", "Brief", BRIEF)
    with database.transaction() as connection:
        connection.execute("UPDATE presets SET settings = ?", (text,))
    assert list_presets(database, "ada")[0].values == {}
