from __future__ import annotations

from dataclasses import replace

import pytest

from config import SpeculativeConfig
from tests.chat.stand_in import BASELINE, READY, finished, round_of
from utils.chat.answer_record import AnswerRecord
from utils.chat.snapshots import Handover, Switch
from utils.chat.wording import (
    badge,
    baseline_sentence,
    comparison_sentence,
    detail_rows,
    duration,
    figure,
    progress_line,
    prompt_share,
    quiet_line,
    sentence,
    speedup,
    text_only_sentence,
    thought_label,
)
from utils.engine.health import EngineHealth
from utils.events import Mode, Prefilled, Queued, Started
from utils.performance_monitor import Baseline, ReportedNumbers

ON = SpeculativeConfig()
OFF = SpeculativeConfig(enabled=False)


@pytest.fixture
def record(request_):
    return AnswerRecord(request_)


@pytest.fixture
def answer(record):
    rounds = [round_of(["a", "b", "c"], drafted=3), round_of(["d", "e", "f", "g"], drafted=3)]
    mode = Mode("speculative", "embedded", "")
    for event in (Started(12, 4, 7, BASELINE), mode, *rounds, finished(rounds)):
        record.take(event)
    return record.snapshot()


def test_the_quiet_line_says_speed_gain_acceptance_wait_and_draft(answer):
    assert quiet_line(answer) == (
        "700 tokens/s · 7.0\N{MULTIPLICATION SIGN} plain · 83% accepted · 3.5 tokens a round"
        " · first token 20 ms · the embedded draft"
    )


def test_the_quiet_line_of_a_stopped_answer_says_so(record):
    record.take(round_of(["a"], drafted=0))
    record.stop()
    assert quiet_line(record.snapshot()).endswith("no draft · stopped")


def test_an_answer_stopped_before_its_first_token_says_that(record):
    record.stop()
    assert quiet_line(record.snapshot()) == "stopped before the first token"


def test_an_answer_cut_at_the_limit_says_so(record):
    rounds = [round_of(["a"], drafted=0)]
    record.take(rounds[0])
    record.take(finished(rounds, "length"))
    assert "cut at the token limit" in quiet_line(record.snapshot())


def test_what_drafted_nothing_is_plain_itself_and_is_not_compared(record):
    rounds = [round_of(["a"], drafted=0)]
    record.take(rounds[0])
    record.take(finished(rounds))
    answer = record.snapshot()
    assert answer.stats.speedup > 0
    assert "plain" not in quiet_line(answer)
    assert speedup(answer.stats) == "nothing drafted"


def test_no_line_claims_a_speedup_without_a_measured_plain_speed(answer):
    unknown = replace(answer, stats=replace(answer.stats, baseline=Baseline()))
    assert "plain" not in quiet_line(unknown)
    assert "no speedup is claimed" in baseline_sentence(unknown.stats.baseline)


@pytest.mark.parametrize(
    ("origin", "words"),
    [("calibration", "when the model was loaded"), ("running", "newest tokens")],
)
def test_the_plain_speed_comes_with_when_and_how_it_was_measured(origin, words):
    text = baseline_sentence(Baseline(123.4, origin, 32))
    assert words in text
    assert "123 tokens/s" in text
    assert "32 steps" in text


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Queued(1), "Waiting as next in the queue"),
        (Queued(4), "Waiting as number 4 in the queue"),
        (Started(12, 4, 7, BASELINE), "Reading the prompt: 4 of 12 tokens"),
        (round_of(["a"], drafted=1), ""),
    ],
)
def test_an_answer_without_text_says_what_it_waits_for(record, event, line):
    assert progress_line(record.snapshot()) == "Waiting for the engine"
    record.take(event)
    assert progress_line(record.snapshot()) == line


def test_prompt_progress_is_a_share_even_of_nothing(record):
    assert prompt_share(record.snapshot()) == 0
    record.take(Prefilled(6, 12))
    assert prompt_share(record.snapshot()) == 0.5


def test_details_name_what_the_line_leaves_out(answer):
    rows = dict(detail_rows(answer))
    assert rows["Drafted"] == "5 of 6 tokens accepted"
    assert rows["Prompt"] == "12 tokens, 4 still in the cache, first token after 20 ms"
    assert rows["Draft"] == "the embedded draft, as many tokens a round as pay, 3.0 on average"
    assert rows["Sampling"] == "temperature 0.8, seed 7"


def test_details_say_how_long_drafts_were_at_most_where_that_is_fixed(answer):
    speculative = SpeculativeConfig(draft_length="fixed")
    fixed = replace(answer, request=replace(answer.request, speculative=speculative))
    assert dict(detail_rows(fixed))["Draft"] == "the embedded draft, at most 5 tokens a round"


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        (
            Mode("standard", "embedded", "drafting would be slower"),
            "At token 48 drafting stopped: drafting would be slower",
        ),
        (
            Mode("speculative", "embedded", ""),
            "At token 48 drafting went on with the embedded draft: it is expected to pay",
        ),
        (
            Mode("speculative", "lookup", "draft x failed"),
            "At token 48 drafting went on with lookup in the text: draft x failed",
        ),
        (
            Mode("standard", None, "the engine died", writer="Ollama (demo)"),
            "At token 48 Ollama (demo) went on: the engine died",
        ),
    ],
)
def test_details_list_every_change_with_place_and_reason(answer, mode, line):
    switches = (Switch(12, mode), Switch(48, mode))
    changes = dict(detail_rows(replace(answer, switches=switches)))["Changes"].splitlines()
    assert len(changes) == 2
    assert changes[1] == line


def test_an_answer_that_went_on_as_it_began_lists_no_changes(answer):
    assert "Changes" not in dict(detail_rows(answer))


def test_details_of_an_answer_that_never_began_are_honest(record):
    record.stop()
    rows = dict(detail_rows(record.snapshot()))
    assert rows["Mode"] == "not begun"
    assert "Drafted" not in rows


@pytest.mark.parametrize(
    ("health", "label", "reason", "tone"),
    [
        (EngineHealth(), "Engine stopped", "not been started", "bad"),
        (EngineHealth(state="failed", reason="3 crashes"), "Engine failed", "3 crashes", "bad"),
        (
            EngineHealth(state="loading", live=True, stage="measuring"),
            "Loading",
            "measuring",
            "busy",
        ),
        (EngineHealth(state="restarting", live=True, reason="died"), "Restarting", "died", "busy"),
        (EngineHealth(state="ready", live=True), "No answers", "no target is loaded", "bad"),
        (READY, "Speculative", "the next answer is drafted by: tiny", "good"),
    ],
)
def test_the_badge_says_the_state_and_why(health, label, reason, tone):
    shown = badge(health, ON, None, draft="tiny")
    assert (shown.label, shown.tone) == (label, tone)
    assert reason in shown.reason


def test_the_badge_says_when_drafting_is_switched_off():
    shown = badge(READY, OFF, None, draft="tiny")
    assert (shown.label, shown.reason) == ("Standard", "speculative decoding is switched off")


@pytest.mark.parametrize(
    ("mode", "label", "reason"),
    [
        (Mode("speculative", "embedded", ""), "Speculative", "drafted by the embedded draft"),
        (
            Mode("speculative", "lookup", "draft x does not fit in memory"),
            "Speculative",
            "drafted by lookup in the text; draft x does not fit in memory",
        ),
        (Mode("standard", None, "vocabularies differ"), "Standard", "vocabularies differ"),
        (Mode("standard", None, ""), "Standard", "nothing is drafted"),
    ],
)
def test_while_an_answer_is_written_the_badge_speaks_of_it(record, mode, label, reason):
    record.take(mode)
    shown = badge(READY, OFF, record.snapshot(), draft="tiny")
    assert (shown.label, shown.reason) == (label, reason)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0004, "0.4 ms"), (0.123, "123 ms"), (2.34, "2.3 s")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(3.14159, "3.1"), (1234.5, "1,234")])
def test_rates_read_well(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [("draft is gone: ask again", "Draft is gone: ask again."), ("Why?", "Why?"), ("", ".")],
)
def test_errors_read_as_sentences(error, text):
    assert sentence(error) == text


WITH_OLLAMA = Mode("standard", None, "answered by Ollama (demo)", writer="Ollama (demo)")
REPORTED = ReportedNumbers("Ollama", 20, 0.1, 123, 2.3, 0.0)


@pytest.fixture
def by_ollama(record):
    rounds = [round_of(["a"], drafted=0)]
    for event in (Started(0, 0, 7, Baseline()), WITH_OLLAMA, *rounds):
        record.take(event)
    record.take(replace(finished(rounds), reported=REPORTED))
    return record.snapshot()


def test_the_wait_for_a_server_is_no_reading_of_no_tokens(record):
    record.take(Started(0, 0, 7, Baseline()))
    assert progress_line(record.snapshot()) == "Waiting for the first token of the engine"
    record.take(WITH_OLLAMA)
    assert progress_line(record.snapshot()) == "Waiting for the first token of Ollama (demo)"


def test_the_own_count_of_a_server_stands_beside_ours(by_ollama):
    assert dict(detail_rows(by_ollama))["Ollama's own count"] == (
        "123 tokens in 2.3 s (53.5 tokens/s), prompt 20 tokens in 100 ms"
    )
    loaded = replace(by_ollama, reported=replace(REPORTED, load_s=2.0))
    assert dict(detail_rows(loaded))["Ollama's own count"].endswith(", loaded in 2.0 s")


def test_the_own_count_is_said_to_be_of_a_part_where_it_is(by_ollama):
    joined = replace(by_ollama, handovers=(Handover(1, "it broke"),))
    assert dict(detail_rows(joined))["Ollama's own count"].endswith("; of its own part")


def test_an_answer_of_the_engine_has_no_other_count(answer):
    assert "Ollama's own count" not in dict(detail_rows(answer))


def test_the_quiet_line_names_who_wrote(by_ollama):
    assert "Ollama (demo)" in quiet_line(by_ollama)
    assert "no draft" not in quiet_line(by_ollama)


def test_why_no_speedup_is_claimed_is_said_of_answers_that_a_server_wrote(answer, by_ollama):
    assert comparison_sentence(answer) == baseline_sentence(answer.stats.baseline)
    assert "Ollama (demo) wrote this answer" in comparison_sentence(by_ollama)
    joined = replace(by_ollama, writer="", handovers=(Handover(1, "it broke"),))
    assert "Ollama (demo) wrote a part of this answer" in comparison_sentence(joined)


def test_a_fold_over_a_thought_says_how_long_it_took_or_is(record, answer):
    record.take(round_of(["<think>Hm"], drafted=0))
    growing = record.snapshot()
    assert thought_label(growing, "Hm", is_thinking=True) == "Thinking\N{HORIZONTAL ELLIPSIS}"
    assert thought_label(answer, "Hm so", is_thinking=False) == "Thought (2 words)"
    assert thought_label(answer, "Hm", is_thinking=True) == "Thought (1 word), not finished"
    timed = replace(answer, thought_s=3.21)
    assert thought_label(timed, "Hm", is_thinking=False) == "Thought for 3.2 s"


@pytest.mark.parametrize(
    ("capabilities", "line"),
    [
        (("completion",), ""),
        (("completion", "tools"), "This model can call tools; here it reads and writes text only."),
        (
            ("tools", "vision", "thinking"),
            "This model can see images and call tools; here it reads and writes text only.",
        ),
    ],
)
def test_what_a_model_could_do_besides_text_is_said(capabilities, line):
    assert text_only_sentence(capabilities) == line
