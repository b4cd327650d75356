from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import pytest

from tests.chat.stand_in import BASELINE, finished, round_of
from utils.chat.answer_record import SWITCHES, AnswerRecord
from utils.chat.snapshots import Handover, SourceRun, Switch
from utils.events import Mode, Prefilled, Queued, Started
from utils.performance_monitor import ReportedNumbers


def test_a_record_goes_from_the_queue_through_the_prompt_to_text_and_end(request_):
    record = AnswerRecord(request_)
    states = []
    rounds = [round_of(["one", " two"], drafted=3)]
    for event in (Queued(2), Started(9, 4, 5, BASELINE), *rounds, finished(rounds)):
        record.take(event)
        states.append(record.snapshot().state)

    assert states == ["queued", "prefilling", "writing", "done"]


def test_a_waiting_answer_knows_its_place_until_it_begins(request_):
    record = AnswerRecord(request_)
    record.take(Queued(3))
    assert record.snapshot().queue_position == 3
    record.take(Started(9, 4, 5, BASELINE))
    assert record.snapshot().queue_position == 0


def test_prompt_progress_starts_at_what_the_cache_still_held(request_):
    record = AnswerRecord(request_)
    record.take(Started(9, 4, 5, BASELINE))
    assert (record.snapshot().prompt_done, record.snapshot().prompt_total) == (4, 9)
    record.take(Prefilled(8, 9))
    assert record.snapshot().prompt_done == 8


def test_neighbours_of_one_source_become_one_run(request_):
    record = AnswerRecord(request_)
    record.take(round_of(["a", "b", "c"], drafted=2))
    record.take(round_of(["d", "e"], drafted=2))

    assert record.snapshot().runs == (
        SourceRun("accepted", "ab"),
        SourceRun("bonus", "c"),
        SourceRun("accepted", "d"),
        SourceRun("resampled", "e"),
    )


def test_runs_join_to_the_text(request_):
    record = AnswerRecord(request_)
    for words in (["a", "b", ""], ["`"], ["", "[", "\n"]):
        record.take(round_of(words, drafted=2))
        snapshot = record.snapshot()
        assert "".join(run.text for run in snapshot.runs) == snapshot.text


def test_a_snapshot_stays_the_same_object_until_something_happens(request_):
    record = AnswerRecord(request_)
    before = record.snapshot()
    assert record.snapshot() is before
    record.take(Mode("standard", None, "switched off"))
    assert record.snapshot() is not before
    assert before.mode is None


def test_figures_while_writing_equal_those_at_the_end(request_):
    record = AnswerRecord(request_)
    rounds = [round_of(["a", "b", "c"], drafted=2), round_of(["d"], drafted=2)]
    for event in (Started(12, 4, 5, BASELINE), *rounds):
        record.take(event)
    before = record.snapshot().stats
    record.take(finished(rounds))

    assert record.snapshot().stats == before
    assert before.accepted == 2


def test_a_snapshot_of_20_000_tokens_takes_milliseconds(request_):
    record = AnswerRecord(request_)
    for start in range(0, 20_000, 4):
        record.take(round_of([" word"] * 4, drafted=5, start=start))
        if start % 400 == 0:
            record.snapshot()
    times = []
    for _ in range(5):
        record.take(round_of([" word"] * 4, drafted=5))
        began = perf_counter()
        record.snapshot()
        times.append(perf_counter() - began)

    assert len(record.snapshot().runs) > 9_000
    assert min(times) < 0.01


def test_a_handover_is_kept_with_its_place_and_its_reason(request_):
    record = AnswerRecord(request_)
    record.take(round_of(["It ", "was "], drafted=3))
    record.take(Mode("standard", None, "", writer="Ollama", handover="it broke; Ollama went on"))
    record.take(round_of(["dark."], drafted=0))
    assert record.snapshot().handovers == (Handover(7, "it broke; Ollama went on"),)
    assert (record.snapshot().writer, record.snapshot().servers) == ("Ollama", ("Ollama",))


def test_no_handover_is_told_of_before_there_is_text_or_where_only_the_mode_changes(request_):
    record = AnswerRecord(request_)
    record.take(Mode("standard", None, "", handover="it broke; another went on"))
    record.take(round_of(["It"], drafted=0))
    record.take(Mode("standard", None, "drafting pauses"))
    assert record.snapshot().handovers == ()


def test_of_two_handovers_without_text_between_them_the_last_is_told(request_):
    record = AnswerRecord(request_)
    record.take(round_of(["It"], drafted=0))
    for reason in ("one went on", "one broke; two went on"):
        record.take(Mode("standard", None, "", handover=reason))
    assert record.snapshot().handovers == (Handover(2, "one broke; two went on"),)


def test_whoever_was_ready_but_wrote_nothing_is_no_writer(request_):
    record = AnswerRecord(request_)
    record.take(Mode("standard", None, "", writer="Ollama"))
    assert record.snapshot().servers == ()


@pytest.mark.parametrize("opened", ["", "<think>\n"])
def test_a_thought_is_timed_from_its_first_token_to_its_mark(request_, opened):
    record = AnswerRecord(request_)
    record.take(Started(9, 4, 5, BASELINE, opened))
    words = ["Hm", ".", "\n</th", "ink>", "\n", "Yes", " </think>."]
    record.take(round_of(words if opened else ["<think>", *words], drafted=0))
    tokens = 4 if opened else 5
    assert record.snapshot().thought_s == pytest.approx(0.02 * (tokens - 1))


def test_an_answer_without_a_thought_has_no_time_of_one(request_):
    record = AnswerRecord(request_)
    record.take(round_of(["Write ", "`</think>`", "."], drafted=0))
    assert record.snapshot().thought_s is None


def test_what_a_server_reports_is_kept_beside_what_was_measured(request_):
    record, told = AnswerRecord(request_), ReportedNumbers("Ollama", 20, 0.1, 123, 2.3, 0.0)
    record.take(replace(finished([round_of(["a"], drafted=0)]), reported=told))
    assert record.snapshot().reported == told
    assert record.snapshot().stats.completion_tokens == 1


def test_every_change_of_mode_is_kept_with_its_place_and_time_but_not_the_first_mode(request_):
    record = AnswerRecord(request_)
    on, off = Mode("speculative", "embedded", ""), Mode("standard", "embedded", "too slow")
    for event in (on, round_of(["a", "b"], drafted=2), off, round_of(["c"], drafted=0), on):
        record.take(event)
    assert record.snapshot().switches == (Switch(2, off, 0.04), Switch(3, on, 0.02))


def test_of_many_changes_the_newest_are_kept(request_):
    record = AnswerRecord(request_)
    for number in range(SWITCHES + 3):
        record.take(round_of(["a"], drafted=0))
        record.take(Mode("standard", None, f"reason {number}"))
    kept = record.snapshot().switches
    assert len(kept) == SWITCHES
    assert kept[-1].at_tokens == SWITCHES + 3
