from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest

from utils.errors import StorageError
from utils.storage.database import Database
from utils.storage.preferences import load_preference, save_preference


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "folder" / "specchat.db")
    yield database
    database.close()


def test_what_was_written_is_there_after_opening_again(database):
    save_preference(database, "ann", "draft", {"length": 5})
    database.close()
    again = Database(database.path)
    assert load_preference(again, "ann", "draft") == {"length": 5}
    again.close()


def test_what_one_person_likes_is_not_what_another_finds(database):
    save_preference(database, "ann", "draft", 1)
    assert load_preference(database, "ben", "draft") is None


def test_a_value_takes_the_place_of_the_one_before(database):
    save_preference(database, "ann", "draft", 1)
    save_preference(database, "ann", "draft", [2])
    assert load_preference(database, "ann", "draft") == [2]


def test_a_transaction_that_fails_leaves_nothing(database):
    def write():
        with database.transaction() as connection:
            connection.execute("INSERT INTO preferences VALUES ('ann', 'a', '1')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert load_preference(database, "ann", "a") is None


def test_several_threads_write_at_once_and_nothing_is_lost(database):
    def write(name):
        for number in range(20):
            save_preference(database, name, str(number), number)

    threads = [threading.Thread(target=write, args=(f"person {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((count,),) = database.read("SELECT count(*) FROM preferences")
    assert count == 80


def test_a_process_killed_while_it_writes_leaves_the_file_sound(database):
    save_preference(database, "ann", "kept", 1)
    script = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE')\n"
        "c.execute(\"INSERT INTO preferences VALUES ('ann', 'torn', '1')\")\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, database.path], check=False)
    assert load_preference(database, "ann", "kept") == 1
    assert load_preference(database, "ann", "torn") is None


def test_a_file_of_a_newer_version_is_left_alone_and_said_so(database):
    database.close()
    with sqlite3.connect(database.path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(StorageError, match="newer version"):
        Database(database.path)


def test_a_file_that_is_no_database_is_explained(tmp_path):
    path = tmp_path / "specchat.db"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(StorageError, match="SPECCHAT_DATA_FOLDER"):
        Database(path)
    assert path.read_bytes().startswith(b"something else")


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        Database(tmp_path / "file" / "specchat.db")


def test_only_its_owner_may_read_the_file(database):
    assert database.path.stat().st_mode & 0o077 == 0
