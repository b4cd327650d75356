from __future__ import annotations

import pytest

from tests.chat.stand_in import BASELINE, Gate, finished, round_of, script
from utils.backends.protocol import NOTHING_WRITTEN
from utils.chat.jobs import GenerationJob, JobBoard, get_board
from utils.errors import EngineCrashedError
from utils.events import Started


def run(engine, request_, steps, **options):
    engine.client.scripts.append(steps)
    job = GenerationJob(request_, engine, **options)
    job.start()
    return job


def test_a_job_writes_its_answer_to_the_end(engine, request_):
    job = run(engine, request_, script(["Good", " day"], ["."]))

    assert job.wait(5)
    snapshot = job.snapshot()
    assert (snapshot.state, snapshot.text, snapshot.finish_reason) == ("done", "Good day.", "stop")
    assert not snapshot.is_active


def test_the_engine_is_asked_exactly_what_the_request_says(engine, request_):
    assert run(engine, request_, script(["a"])).wait(5)

    assert engine.client.asked == [
        {
            "messages": request_.messages,
            "sampling": request_.sampling,
            "speculative": request_.speculative,
            "owner": "somebody",
            "model": request_.model,
            "written": NOTHING_WRITTEN,
            "drop_oldest": True,
        }
    ]


def test_a_job_shows_text_before_it_ends(engine, request_):
    gate = Gate()
    first = round_of(["Good"], drafted=2)
    job = run(engine, request_, [Started(3, 0, 1, BASELINE), first, gate, finished([first])])

    assert gate.reached.wait(5)
    assert (job.snapshot().state, job.snapshot().text) == ("writing", "Good")
    gate.opened.set()
    assert job.wait(5)


def test_stop_keeps_what_was_written_and_closes_the_engines_generator(engine, request_):
    gate = Gate()
    job = run(engine, request_, [Started(3, 0, 1, BASELINE), round_of(["Good"], drafted=2), gate])
    assert gate.reached.wait(5)

    job.cancel()

    assert job.wait(5)
    snapshot = job.snapshot()
    assert (snapshot.state, snapshot.text) == ("stopped", "Good")
    assert snapshot.finish_reason == "cancelled"
    assert snapshot.stats.completion_tokens == 1
    assert engine.client.closed == 1
    gate.opened.set()


def test_stop_before_the_first_event_ends_the_job(engine, request_):
    gate = Gate()
    job = run(engine, request_, [gate])
    job.cancel()

    assert job.wait(5)
    assert job.snapshot().state == "stopped"
    gate.opened.set()


def test_stop_after_the_end_changes_nothing(engine, request_):
    job = run(engine, request_, script(["a"]))
    assert job.wait(5)
    before = job.snapshot()
    job.cancel()
    assert job.snapshot() is before


def test_an_error_of_the_engine_becomes_its_sentence_and_keeps_the_text(engine, request_):
    crash = EngineCrashedError("the engine died: signal 9; ask again")
    job = run(engine, request_, [round_of(["Good"], drafted=2), crash])

    assert job.wait(5)
    snapshot = job.snapshot()
    assert (snapshot.state, snapshot.text) == ("failed", "Good")
    assert snapshot.error == "the engine died: signal 9; ask again"


def test_a_fault_of_the_app_fails_the_job_without_its_details(engine, request_, caplog):
    job = run(engine, request_, [ZeroDivisionError("secret")])

    assert job.wait(5)
    assert job.snapshot().state == "failed"
    assert "secret" not in (job.snapshot().error or "")
    assert "secret" in caplog.text


def test_the_last_snapshot_is_handed_over_once(engine, request_):
    handed = []
    job = run(engine, request_, script(["a"]), on_end=handed.append)

    assert job.wait(5)
    assert handed == [job.snapshot()]


def test_the_board_finds_a_running_job(engine, request_, board):
    job = board.prepare(request_, engine)
    assert board.find(job.id) is job
    assert board.find("nobody") is None


def test_a_full_board_forgets_the_oldest_that_ended_and_never_a_running_one(engine, request_):
    board, gate = JobBoard(limit=2), Gate()
    engine.client.scripts += [[gate], script(["a"]), script(["b"])]
    running, *ended = (board.prepare(request_, engine) for _ in range(3))
    for job in (running, *ended):
        job.start()
    assert all(job.wait(5) for job in ended)

    newest = board.prepare(request_, engine)

    assert board.find(running.id) is running
    assert [board.find(job.id) for job in ended] == [None, None]
    assert board.find(newest.id) is newest
    gate.opened.set()
    assert running.wait(5)


def test_there_is_one_board_a_process():
    assert get_board() is get_board()


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_how_the_answer_ended_is_kept(engine, request_, reason):
    words = round_of(["a"], drafted=1)
    job = run(engine, request_, [words, finished([words], reason)])
    assert job.wait(5)
    assert job.snapshot().finish_reason == reason


def test_the_board_tells_which_answers_are_being_written(engine, board, request_):
    gate = Gate()
    engine.client.scripts.append([gate])
    job = board.prepare(request_, engine)
    job.start()
    assert gate.reached.wait(5)
    assert [answer.request for answer in board.running()] == [request_]

    job.cancel()
    assert job.wait(5)
    assert board.running() == ()
    gate.opened.set()
