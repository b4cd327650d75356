from __future__ import annotations

import asyncio
import threading

import pytest

from tests.chat.racing import OLLAMA, request
from tests.chat.stand_in import BASELINE, Gate, finished, round_of, script
from utils.chat.race_archive import RaceArchive
from utils.chat.race_runs import RunningRace
from utils.chat.race_snapshots import verdict
from utils.chat.races import RaceBoard
from utils.errors import EngineCrashedError, RequestError, StorageError
from utils.events import Started
from utils.storage.database import Database


def started(engine, board, **values):
    race = RunningRace(request(**values), board=board, runtime=engine)
    race.start()
    return race


def gated():
    """An answer that waits in its middle."""
    gate, first = Gate(), round_of(["Half"], drafted=2)
    return gate, [Started(3, 0, 1, BASELINE), first, gate, finished([first])]


def ended(engine, board, **values):
    race = started(engine, board, **values)
    assert race.wait(10)
    return race.snapshot()


def test_a_race_asks_the_same_in_two_ways_in_turn(engine, board):
    seen = ended(engine, board, runs_each=2)
    assert seen.state == "done"
    assert "".join(run.side for run in seen.runs) == "abba"
    asked = engine.client.asked
    assert [ask["speculative"].enabled for ask in asked] == [False, True, True, False]
    same = [(ask["messages"], ask["sampling"], ask["owner"]) for ask in asked]
    assert same == [same[0]] * 4


def test_whoever_runs_second_finds_nothing_that_the_first_one_wrote(engine, board):
    ended(engine, board, runs_each=1)
    assert not any(ask["speculative"].lookup_earlier for ask in engine.client.asked)


def test_nobody_finds_later_what_was_written_in_a_race(engine, board):
    race = started(engine, board, runs_each=1, owner="ann")
    assert race.wait(10)
    assert all(ask["owner"] not in ("ann", "") for ask in engine.client.asked)


def test_ollama_is_asked_where_a_side_is_ollamas(engine, board):
    ended(engine, board, a=OLLAMA, runs_each=1)
    assert [ask["model"].backend for ask in engine.client.asked] == ["ollama", "auto"]


def test_one_answer_is_written_at_a_time(engine, board):
    gate, steps = gated()
    engine.client.scripts.append(steps)
    race = started(engine, board, runs_each=2)
    assert gate.reached.wait(10)
    assert len(engine.client.asked) == 1
    seen = race.snapshot()
    assert (seen.current.side, seen.current.answer.text) == ("a", "Half")
    gate.opened.set()
    assert race.wait(10)
    assert len(engine.client.asked) == 4


def test_a_race_that_is_stopped_keeps_what_has_run(engine, board):
    gate, steps = gated()
    engine.client.scripts += [script(["one"]), steps]
    race = started(engine, board, runs_each=4)
    assert gate.reached.wait(10)
    race.stop()
    assert race.wait(10)
    gate.opened.set()
    seen = race.snapshot()
    assert (seen.state, seen.current) == ("stopped", None)
    assert [run.answer.text for run in seen.runs] == ["one", "Half"]
    assert len(seen.ended("a")) == 1
    assert not seen.ended("b")
    assert len(engine.client.asked) == 2


def test_a_failed_answer_ends_the_race_with_its_reason(engine, board):
    engine.client.scripts += [script(["one"]), [EngineCrashedError("the engine died: ask again")]]
    seen = ended(engine, board, runs_each=4)
    assert (seen.state, seen.error) == ("failed", "the engine died: ask again")
    assert len(engine.client.asked) == 2


def test_a_vote_is_taken_once_and_only_when_both_have_written(engine, board):
    gate, steps = gated()
    engine.client.scripts += [script(["one"]), steps]
    race = started(engine, board, runs_each=1, is_blind=True)
    assert gate.reached.wait(10)
    with pytest.raises(RequestError, match="nothing to vote on"):
        race.vote("a")
    gate.opened.set()
    assert race.wait(10)
    race.vote("b")
    assert race.snapshot().is_revealed
    with pytest.raises(RequestError, match="nothing to vote on"):
        race.vote("a")


def test_a_race_is_found_by_its_id_and_by_whose_it_is(engine, board):
    races = RaceBoard()
    first, second = (
        races.start(request(owner=owner, runs_each=1), board=board, runtime=engine)
        for owner in ("ann", "ben")
    )
    assert races.find(first.id) is first
    assert races.find("guess") is None
    assert races.newest("ben") is second
    assert races.newest("cleo") is None
    assert races.newest("") is None
    assert first.wait(10)
    assert second.wait(10)


def test_a_second_race_of_the_same_owner_waits_for_the_end_of_the_first(engine, board):
    gate, steps = gated()
    engine.client.scripts.append(steps)
    races = RaceBoard()
    first = races.start(request(owner="ann", runs_each=1), board=board, runtime=engine)
    assert gate.reached.wait(10)
    with pytest.raises(RequestError, match="still running"):
        races.start(request(owner="ann"), board=board, runtime=engine)
    gate.opened.set()
    assert first.wait(10)
    again = races.start(request(owner="ann", runs_each=1), board=board, runtime=engine)
    assert races.newest("ann") is again
    assert again.wait(10)


@pytest.fixture
def kept_races(database):
    """A board whose comparisons are kept, and what makes one of another start of the app."""

    def open_board(**options):
        return RaceBoard(archive=lambda: RaceArchive(database), **options)

    return open_board


def test_an_ended_race_is_found_after_a_restart_with_its_texts_and_verdict(
    engine, board, kept_races
):
    race = kept_races().start(request(owner="ann", runs_each=1), board=board, runtime=engine)
    assert race.wait(10)
    later = kept_races()
    again = later.find(race.id)
    assert later.find(race.id) is again
    assert later.newest("ann") is again
    assert later.newest("ben") is None
    assert [run.answer.text for run in again.snapshot().runs] == ["Hello there."] * 2
    assert verdict(again.snapshot()) == verdict(race.snapshot())
    again.stop()
    assert again.snapshot().state == "done"


def test_a_race_that_runs_is_kept_after_each_answer(engine, board, kept_races):
    gate, steps = gated()
    engine.client.scripts += [script(["one"]), steps]
    race = kept_races().start(request(owner="ann", runs_each=1), board=board, runtime=engine)
    assert gate.reached.wait(10)
    seen = kept_races().find(race.id).snapshot()
    assert (seen.state, [run.answer.text for run in seen.runs]) == ("stopped", ["one"])
    assert "the app ended" in seen.error
    gate.opened.set()
    assert race.wait(10)


def test_what_another_run_goes_on_with_is_read_anew(engine, board, kept_races, database):
    gate, steps = gated()
    engine.client.scripts.append(steps)
    race = kept_races().start(request(owner="ann", runs_each=1), board=board, runtime=engine)
    assert gate.reached.wait(10)
    other = Database(database.path)
    elsewhere = RaceBoard(archive=lambda: RaceArchive(other))
    assert "another SpecChat" in elsewhere.find(race.id).snapshot().error
    gate.opened.set()
    assert race.wait(10)
    assert elsewhere.find(race.id).snapshot().state == "done"
    other.close()


def test_the_newest_is_the_one_begun_last_and_not_the_one_opened_last(engine, board, kept_races):
    first, second = (_ended_race(engine, board, kept_races()) for _ in range(2))
    later = kept_races()
    assert later.find(first.id)
    assert later.newest("ann").id == second.id
    assert [kept.id for kept in later.kept("ann")] == [second.id, first.id]


def _ended_race(engine, board, races):
    race = races.start(request(owner="ann", runs_each=1), board=board, runtime=engine)
    assert race.wait(10)
    return race


def test_a_deleted_race_is_found_nowhere_until_it_is_restored(engine, board, kept_races):
    races = kept_races()
    race = _ended_race(engine, board, races)
    races.delete(race.id, "ben")
    assert races.find(race.id) is race
    races.delete(race.id, "ann")
    assert races.find(race.id) is kept_races().find(race.id) is races.newest("ann") is None
    races.restore(race.id, "ann")
    assert races.newest("ann").id == race.id


def test_a_running_race_is_not_deleted(engine, board, kept_races):
    gate, steps = gated()
    engine.client.scripts.append(steps)
    races = kept_races()
    race = races.start(request(owner="ann", runs_each=1), board=board, runtime=engine)
    assert gate.reached.wait(10)
    with pytest.raises(RequestError, match="stop it first"):
        races.delete(race.id, "ann")
    gate.opened.set()
    assert race.wait(10)


def test_a_race_runs_where_nothing_can_be_kept_and_the_board_says_so(engine, board, database):
    races = RaceBoard(archive=lambda: RaceArchive(database))
    database.close()
    race = _ended_race(engine, board, races)
    assert race.snapshot().state == "done"
    assert races.find(race.id) is race
    assert "not kept at present" in races.problem
    assert races.kept("ann") == []


def test_a_board_that_can_read_and_not_write_says_so_until_it_can(
    engine, board, database, monkeypatch
):
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    races = RaceBoard(archive=lambda: RaceArchive(database))
    monkeypatch.setattr(RaceArchive, "save", full)
    _ended_race(engine, board, races)
    assert races.kept("ann") == []
    assert "the disk is full" in races.problem
    monkeypatch.undo()
    race = _ended_race(engine, board, races)
    assert races.problem == ""
    assert [kept.id for kept in races.kept("ann")] == [race.id]


def test_a_race_that_cannot_be_read_is_not_found(engine, board, kept_races, database):
    race = _ended_race(engine, board, kept_races())
    with database.transaction() as connection:
        connection.execute("UPDATE comparisons SET record = '{broken'")
    assert kept_races().find(race.id) is None


def test_the_oldest_races_are_forgotten(engine, board):
    races = RaceBoard(limit=2)
    ids = []
    for _ in range(4):
        race = races.start(request(owner="ann", runs_each=1), board=board, runtime=engine)
        assert race.wait(10)
        ids.append(race.id)
    assert [races.find(race_id) is not None for race_id in ids] == [False, False, True, True]


def _waiting_inspection(engine, monkeypatch):
    """Have the engine look at a token for ever; return when it has begun, and when it was ended."""
    begun, ended = threading.Event(), threading.Event()

    async def inspect(*_asked, **_more):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(engine.client, "inspect", inspect)
    return begun, ended


def test_a_race_can_be_stopped_while_it_looks_at_where_the_texts_part(engine, board, monkeypatch):
    begun, given_up = _waiting_inspection(engine, monkeypatch)
    engine.client.scripts += [script(["one", " two"]), script(["one"], [" three"])]
    race = started(engine, board, runs_each=1)
    assert begun.wait(10)
    assert race.snapshot().state == "explaining"
    race.stop()
    assert race.wait(5)
    assert given_up.is_set()
    seen = race.snapshot()
    assert seen.state == "done"
    assert seen.divergence.logits is None
    assert "was stopped" in seen.divergence.problem


def test_a_race_that_was_stopped_before_looks_at_no_token(engine, board, monkeypatch):
    begun, _ = _waiting_inspection(engine, monkeypatch)
    gate, steps = gated()
    engine.client.scripts += [script(["one", " two"]), script(["one"], [" three"]), steps]
    race = started(engine, board, runs_each=2)
    assert gate.reached.wait(10)
    race.stop()
    assert race.wait(5)
    gate.opened.set()
    assert not begun.is_set()
    assert race.snapshot().state == "stopped"
    assert "was stopped" in race.snapshot().divergence.problem
