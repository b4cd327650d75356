from __future__ import annotations

from dataclasses import replace

import pytest

from utils.errors import StorageError
from utils.storage.database import Database
from utils.storage.votes import Vote, list_votes, save_vote

VOTE = Vote("r1", "ann", 10.0, "demo", "b", "standard", "speculative", "Standard", "S", 50.0, 80.0)


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "specchat.db")
    yield database
    database.close()


def test_votes_are_there_after_opening_again_newest_first(database):
    later = replace(VOTE, race_id="r2", voted_at=11.0)
    save_vote(database, VOTE)
    save_vote(database, later)
    database.close()
    again = Database(database.path)
    assert list_votes(again) == [later, VOTE]
    assert list_votes(again, limit=1) == [later]
    again.close()


def test_the_first_vote_on_a_comparison_stands(database):
    save_vote(database, VOTE)
    save_vote(database, replace(VOTE, choice="a"))
    assert [vote.choice for vote in list_votes(database)] == ["b"]


def test_what_is_preferred_is_told_by_how_it_was_written():
    told = [replace(VOTE, choice=choice).preferred for choice in ("a", "b", "neither")]
    assert told == ["standard", "speculative", None]


def test_another_choice_than_there_is_is_not_kept(database):
    with pytest.raises(StorageError):
        save_vote(database, replace(VOTE, choice="c"))
