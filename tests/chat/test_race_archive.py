from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.chat.racing import DRAFTED, OLLAMA, answer, race, request
from utils.backends.protocol import ModelChoice
from utils.chat.race_archive import KEPT, RaceArchive
from utils.chat.race_snapshots import Divergence
from utils.errors import RequestError, StorageError
from utils.storage.database import Database
from utils.storage.votes import Vote, save_vote

PAIR = (("a", answer(token_s=0.02)), ("b", answer(token_s=0.01)))
PARTED = Divergence(2, 9, (" cat", "car"), "I see ", logits=(9.5, 9.498), top=" cat")


@pytest.fixture
def archive(database):
    return RaceArchive(database)


@pytest.fixture
def elsewhere(database):
    """The archive of another run of the app on the same folder."""
    opened = Database(database.path)
    yield RaceArchive(opened)
    opened.close()


def kept(number=0, *, owner="ann", runs=PAIR, state="done", **values):
    asked = request(owner=owner, **values)
    return replace(race(*runs, state=state, asked=asked), id=f"r{number}", started_at=float(number))


def without_messages(run):
    """A run as far as it is kept: whose it is and what was asked follow from the comparison."""
    asked = replace(run.answer.request, messages=(), owner="")
    return replace(run, answer=replace(run.answer, request=asked))


def ids(found):
    return [one.id for one in found]


def vote_on(race_id, choice="b"):
    arms = ("standard", "speculative", "Standard", "Speculative")
    return Vote(race_id, "ann", 1.0, "demo", choice, *arms, 50.0, 80.0)


def test_a_comparison_comes_back_as_it_was(archive, elsewhere):
    made = replace(
        kept(a=DRAFTED, b=OLLAMA, runs_each=3, model=ModelChoice("llama:3b"), model_name="Llama"),
        divergence=PARTED,
        error="something",
    )
    archive.save(made)
    again = elsewhere.load("r0")
    assert again.request == made.request
    assert list(map(without_messages, again.runs)) == list(map(without_messages, made.runs))
    assert replace(again, runs=()) == replace(made, runs=())


def test_the_vote_on_it_comes_back_too(database, archive):
    archive.save(kept(is_blind=True))
    assert archive.load("r0").may_vote
    assert not archive.list("ann")[0].is_revealed
    save_vote(database, vote_on("r0"))
    assert archive.load("r0").vote == "b"
    assert archive.list("ann")[0].is_revealed


def test_the_list_has_the_newest_first_and_nobody_elses(archive):
    for number, owner in enumerate(["ann", "ben", "ann"]):
        archive.save(kept(number, owner=owner))
    assert ids(archive.list("ann")) == ["r2", "r0"]
    (newest, _) = archive.list("ann")
    assert (newest.question, newest.label_a, newest.label_b) == (
        "Count to three.",
        "Standard",
        "Speculative",
    )
    assert newest.tokens_per_second_a == pytest.approx(50)
    assert newest.tokens_per_second_b == pytest.approx(100)


def test_of_each_owner_the_newest_are_kept(database, archive):
    archive.save(kept(0, owner="ben"))
    for number in range(1, KEPT + 3):
        archive.save(kept(number))
    assert ids(archive.list("ann", limit=999)) == [f"r{n}" for n in range(KEPT + 2, 2, -1)]
    assert ids(archive.list("ben")) == ["r0"]
    ((count,),) = database.read("SELECT count(*) FROM comparisons")
    assert count == KEPT + 1


def test_what_was_left_running_was_stopped_by_the_end_of_the_app(archive, elsewhere, database):
    archive.save(kept(runs=PAIR[:1], state="running"))
    database.run.end()
    seen = elsewhere.load("r0")
    assert (seen.state, len(seen.runs)) == ("stopped", 1)
    assert "the app ended" in seen.error


def test_what_another_run_of_the_app_goes_on_with_says_so(archive, elsewhere):
    archive.save(kept(runs=PAIR[:1], state="explaining"))
    seen = elsewhere.load("r0")
    assert not seen.is_active
    assert "another SpecChat" in seen.error
    archive.save(kept())
    assert (elsewhere.load("r0").state, elsewhere.load("r0").error) == ("done", "")


def test_only_its_owner_deletes_a_comparison_and_brings_it_back(archive):
    archive.save(kept())
    archive.delete("r0", "ben")
    assert archive.load("r0")
    archive.delete("r0", "ann")
    assert archive.load("r0") is None
    assert archive.list("ann") == []
    archive.save(kept())
    archive.restore("r0", "ben")
    assert archive.load("r0") is None
    archive.restore("r0", "ann")
    assert ids(archive.list("ann")) == ["r0"]


def test_what_was_deleted_long_ago_is_gone_with_the_next_change(database, archive):
    archive.save(kept(0))
    archive.delete("r0", "ann")
    archive.save(kept(1, owner="ben"))
    assert len(database.read("SELECT * FROM comparisons")) == 2
    with database.transaction() as connection:
        connection.execute("UPDATE comparisons SET deleted_at = deleted_at - 100000")
    archive.save(kept(1, owner="ben"))
    assert [row["id"] for row in database.read("SELECT id FROM comparisons")] == ["r1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.clear(),
        lambda data: data.update(runs=[{"side": "c", "answer": {}}]),
        lambda data: data.update(runs=[{"side": "a", "answer": {}}]),
        lambda data: data.update(messages=[]),
        lambda data: data.update(divergence={"shared_tokens": "many"}),
        lambda data: data["sides"]["a"].update(backend="oracle"),
    ],
)
def test_a_comparison_that_cannot_be_read_is_explained(database, archive, change):
    archive.save(kept())
    ((record,),) = database.read("SELECT record FROM comparisons")
    data = json.loads(record)
    change(data)
    with database.transaction() as connection:
        connection.execute("UPDATE comparisons SET record = ?", (json.dumps(data),))
    with pytest.raises(RequestError):
        archive.load("r0")


def test_a_record_that_is_no_json_is_explained(database, archive):
    archive.save(kept())
    with database.transaction() as connection:
        connection.execute("UPDATE comparisons SET record = '{broken'")
    with pytest.raises(RequestError, match="cannot be read"):
        archive.load("r0")


def test_a_database_that_fails_is_explained(database, archive):
    database.close()
    with pytest.raises(StorageError, match="cannot be used"):
        archive.save(kept())
