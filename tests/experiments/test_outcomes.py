from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from config import SamplingParams, SpeculativeConfig
from tests.chat.stand_in import BASELINE, Gate, StandInEngine, finished, round_of, script
from tests.experiments.simulated import outcome
from utils.chat.conversation import AnswerSettings, Conversation
from utils.chat.jobs import JobBoard
from utils.errors import EngineCrashedError, RequestError, StorageError
from utils.events import Mode, Started
from utils.experiments import outcomes
from utils.experiments.outcomes import list_outcomes, outcome_of, record_answer, save_outcome
from utils.experiments.ratings import NO_RATING, Rating, load_rating, save_rating
from utils.experiments.rollout import Enrolment, load_rollout

PART = Enrolment(experiment=1, browser="f00d", arm="speculative")


@pytest.fixture
def engine():
    engine = StandInEngine()
    yield engine
    engine.close()


@pytest.fixture
def kept(monkeypatch, database, config):
    """What is kept goes into the database of the test; returns it once all is written."""
    load_rollout(database, config)
    monkeypatch.setattr("utils.storage.database.get_database", lambda: database)

    def read():
        outcomes._writer().submit(int).result(10)
        return list_outcomes(database, 1)

    return read


def answered(engine, steps, *, enrolment=PART, enabled=True):
    """Ask, and return the conversation and its job once the answer has ended."""
    engine.client.scripts.append(steps)
    settings = AnswerSettings(
        SamplingParams(), SpeculativeConfig(enabled=enabled), enrolment=enrolment
    )
    conversation, board = Conversation(), JobBoard()
    job = conversation.ask("1?", settings, board=board, runtime=engine)
    assert job.wait(10)
    return conversation, job


def test_an_answer_leaves_its_figures_and_no_text(engine, kept, database):
    _, job = answered(engine, script(["secret", "canary"], ["."]))
    (found,) = kept()
    stats = job.snapshot().stats
    assert found == replace(
        outcome(job.id, arm="speculative", browser="f00d"),
        ended_at=found.ended_at,
        answer_s=found.answer_s,
        tokens=3,
        tokens_per_second=stats.tokens_per_second,
        ttft_s=stats.ttft_s,
    )
    assert found.answer_s > 0
    assert "canary" not in "\n".join(database._connection.iterdump())


def test_an_answer_without_a_part_in_it_leaves_nothing(engine, kept):
    answered(engine, script(["a"]), enrolment=None)
    assert kept() == []


def test_an_answer_that_was_gone_on_with_is_not_counted_again(engine, kept):
    gate = Gate()
    begin, first = Started(3, 0, 1, BASELINE), round_of(["Half"], drafted=2)
    engine.client.scripts.append([begin, first, gate])
    settings = AnswerSettings(SamplingParams(), SpeculativeConfig(), enrolment=PART)
    conversation, board = Conversation(), JobBoard()
    job = conversation.ask("1?", settings, board=board, runtime=engine)
    assert gate.reached.wait(10)
    job.cancel()
    assert job.wait(10)
    gate.opened.set()

    rest = conversation.continue_answer(settings, board=board, runtime=engine)
    assert rest.wait(10)
    assert [found.state for found in kept()] == ["stopped"]


def test_a_failed_answer_is_counted_as_failed(engine, kept):
    answered(engine, [EngineCrashedError("it died")])
    (found,) = kept()
    assert (found.state, found.tokens, found.tokens_per_second) == ("failed", 0, 0)


@pytest.mark.parametrize(
    ("mode", "enabled", "fell_back"),
    [
        (Mode("speculative", "demo-draft", ""), True, False),
        (Mode("standard", "demo-draft", "it would be slower here"), True, False),
        (Mode("standard", None, "draft demo-draft failed"), True, True),
        (Mode("standard", None, "switched off"), False, False),
        (Mode("standard", None, "", writer="Ollama (demo)"), False, True),
    ],
)
def test_an_answer_fell_back_where_it_was_not_written_as_asked(
    engine, kept, mode, enabled, fell_back
):
    first = round_of(["a"], drafted=0)
    answered(engine, [Started(3, 0, 1, BASELINE), mode, first, finished([first])], enabled=enabled)
    (found,) = kept()
    assert found.fell_back is fell_back


def test_a_disk_that_fails_costs_the_figures_and_not_the_answer(engine, monkeypatch, caplog):
    def fail():
        raise StorageError("the disk is full")

    monkeypatch.setattr("utils.storage.database.get_database", fail)
    conversation, _ = answered(engine, script(["a"]))
    outcomes._writer().submit(int).result(10)
    assert conversation.turns[0].answer.state == "done"
    assert "the disk is full" in caplog.text


def test_ratings_come_with_the_answers_newest_last(database, config):
    load_rollout(database, config)
    save_outcome(database, outcome("late", ended_at=2.0, fell_back=True))
    save_outcome(database, outcome("early", ended_at=1.0))
    save_rating(database, "early", Rating(thumb=False, speed=5))
    assert list_outcomes(database, 1) == [
        outcome("early", ended_at=1.0, thumb=False, speed=5),
        outcome("late", ended_at=2.0, fell_back=True),
    ]
    assert [found.answer_id for found in list_outcomes(database, 1, limit=1)] == ["late"]
    assert list_outcomes(database, 2) == []


def test_an_answer_is_counted_once(database, config):
    load_rollout(database, config)
    save_outcome(database, outcome("a", tokens=1))
    save_outcome(database, outcome("a", tokens=2))
    assert [found.tokens for found in list_outcomes(database, 1)] == [1]


def test_an_answer_to_no_known_experiment_is_refused(database):
    with pytest.raises(StorageError, match="FOREIGN KEY"):
        save_outcome(database, outcome())


def test_what_goes_on_with_an_answer_is_no_part_whoever_says_so(engine, kept):
    _, job = answered(engine, script(["a"]))
    answer = job.snapshot()
    going_on = replace(answer, request=replace(answer.request, begun=answer))
    assert outcome_of("a", answer, ended_at=0.0) is not None
    assert outcome_of("a", going_on, ended_at=0.0) is None


def test_nothing_is_recorded_of_what_is_no_part(engine):
    _, job = answered(engine, script(["a"]), enrolment=None)
    assert record_answer(job.id, job.snapshot()) is None
    assert outcome_of(job.id, job.snapshot(), ended_at=0.0) is None


def test_ratings_are_kept_changed_and_taken_back(database):
    assert load_rating(database, "a") == NO_RATING
    save_rating(database, "a", Rating(thumb=True))
    save_rating(database, "a", Rating(thumb=True, speed=4))
    assert load_rating(database, "a") == Rating(thumb=True, speed=4)
    save_rating(database, "a", NO_RATING)
    assert load_rating(database, "a") == NO_RATING
    assert database.read("SELECT * FROM answer_ratings") == []


@pytest.mark.parametrize("speed", [0, 6])
def test_a_speed_that_is_none_is_refused(database, speed):
    with pytest.raises(RequestError, match="1 to 5"):
        save_rating(database, "a", Rating(speed=speed))


def test_the_database_itself_refuses_what_is_no_rating(database):
    with pytest.raises(StorageError) as refused, database.transaction() as connection:
        connection.execute("INSERT INTO answer_ratings VALUES ('a', 2, 9, 0)")
    assert isinstance(refused.value.__cause__, sqlite3.IntegrityError)
