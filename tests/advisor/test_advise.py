from __future__ import annotations

import pytest

from config import SamplingParams, SpeculativeConfig
from tests.advisor.answers import answer_of, round_of
from utils.advisor.advise import advise
from utils.advisor.case import Machine
from utils.backends.protocol import ModelChoice
from utils.chat.snapshots import AnswerRequest, Handover, Switch
from utils.events import Mode
from utils.performance_monitor import ReportedNumbers

CALM = Machine(cores=2, load=0.5, available_bytes=8 * 2**30, target_bytes=2**30)
GOOD = [round_of()] * 40


def titles(answer, machine=CALM):
    return [advice.title for advice in advise(answer, machine)]


def advice_on(title, answer, machine=CALM):
    (found,) = [advice for advice in advise(answer, machine) if advice.title == title]
    return found


def test_an_answer_that_drafting_made_faster_is_praised_and_nothing_else():
    (advice,) = advise(answer_of(GOOD), CALM)
    assert (advice.title, advice.tone) == ("Drafting pays here", "good")
    assert "3.6\N{MULTIPLICATION SIGN} plain" in advice.finding
    assert "75% of what was drafted was kept" in advice.finding


def test_an_answer_without_fault_or_gain_is_told_so():
    answer = answer_of([round_of()] * 4, plain=0.0)
    assert titles(answer) == ["Nothing slowed it down"]


def test_a_failed_answer_says_why():
    answer = answer_of(state="failed", error="the target failed: choose another")
    (advice,) = advise(answer, CALM)
    assert advice.finding == "The target failed: choose another."


def test_an_answer_without_tokens_says_so():
    assert titles(answer_of(state="stopped")) == ["Nothing was written"]


def test_what_ollama_wrote_is_told_with_the_reason_and_nothing_on_drafting():
    answer = answer_of(
        [round_of(0, 0)] * 40,
        servers=("Ollama",),
        writer="Ollama",
        mode="standard",
        drafter=None,
        reason="its format is unknown",
        plain=0.0,
    )
    advice = advice_on("The engine did not write it", answer)
    assert advice.finding.startswith("Ollama wrote it")
    assert "its format is unknown" in advice.finding
    assert "Models page" in advice.step
    assert titles(answer) == ["The engine did not write it"]


def test_what_ollama_was_chosen_for_leads_back_to_the_engine():
    model = ModelChoice("demo", "ollama")
    chosen = AnswerRequest((), SamplingParams(), SpeculativeConfig(), "me", model)
    answer = answer_of([round_of(0, 0)] * 40, servers=("Ollama",), plain=0.0, request=chosen)
    assert "“Answered by” to Automatic" in advice_on("The engine did not write it", answer).step


def test_the_wait_for_ollama_is_told_as_loading_or_reading_and_nothing_of_its_cache():
    numbers = ReportedNumbers("Ollama", 400, 2.0, 40, 0.4, load_s=3.0)
    answer = answer_of(
        [round_of(0, 0)] * 40,
        servers=("Ollama",),
        reported=numbers,
        plain=0.0,
        prompt_tokens=400,
        prefill_s=2.0,
    )
    loading = advice_on("Ollama had to load the model", answer)
    assert loading.finding == "3.0 s of the wait for the first token went into that."
    reading = advice_on("Reading the prompt took long", answer)
    assert reading.finding == "It took 2.0 s until the prompt of 400 tokens was read."
    quick = answer_of([round_of(0, 0)] * 40, servers=("Ollama",), plain=0.0)
    assert titles(quick) == ["The engine did not write it"]


def test_nobody_is_told_of_the_switch_where_ollama_wrote():
    answer = answer_of(
        [round_of(0, 0)] * 40, servers=("Ollama",), speculative={"enabled": False}, plain=0.0
    )
    assert "Drafting was switched off" not in titles(answer)


def test_what_ollama_went_on_with_is_told_as_a_part():
    answer = answer_of(
        GOOD, servers=("Ollama",), handovers=(Handover(3, "the engine died"),), plain=0.0
    )
    assert "wrote a part of it" in advice_on("The engine did not write it", answer).finding


def test_drafting_that_was_switched_off_is_told_with_the_switch():
    answer = answer_of([round_of(0, 0)] * 40, speculative={"enabled": False}, mode="standard")
    assert "sidebar" in advice_on("Drafting was switched off", answer).step
    assert "No model drafted" not in titles(answer)


@pytest.mark.parametrize(
    ("drafter", "chosen", "suggestion", "title", "step"),
    [
        ("lookup", "auto", "tiny:1b", "No model drafted", "Pull tiny:1b on the Models page"),
        ("lookup", "auto", "", "No model drafted", "which drafts would fit"),
        ("lookup", "lookup", "tiny:1b", "No model drafted", "Choose Automatic"),
        (None, "auto", "", "Nothing drafted", "which drafts would fit"),
    ],
)
def test_without_a_draft_model_the_step_leads_to_one(drafter, chosen, suggestion, title, step):
    answer = answer_of(
        [round_of(0, 0)] * 40,
        drafter=drafter,
        mode="standard",
        reason="the draft does not fit in memory",
        speculative={"draft_model": chosen},
    )
    machine = Machine(suggestion=suggestion)
    advice = advice_on(title, answer, machine)
    assert step in advice.step
    assert "the draft does not fit in memory" in advice.finding


def test_drafting_that_was_left_off_says_what_it_would_have_cost():
    answer = answer_of(
        [round_of(0, 0)] * 40,
        mode="standard",
        reason="drafting would not be faster here: 3 tokens take as long as 4.1 plain steps",
    )
    advice = advice_on("Drafting did not pay", answer)
    assert "4.1 plain steps" in advice.finding
    assert advice.tone == "quiet"


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({}, "Take a larger draft"),
        ({"sampling": {"temperature": 1.5}}, "Lower the temperature, which was 1.5"),
        ({"reason": "drafted by small: another vocabulary, 60% in common"}, "the vocabulary of"),
    ],
)
def test_few_right_guesses_are_told_with_their_likeliest_cause(changes, step):
    advice = advice_on("Few guesses were right", answer_of([round_of(4, 1)] * 40, **changes))
    assert "40 of 160 drafted tokens were kept (25%), guessed by small" in advice.finding
    assert step in advice.step


def test_a_few_wrong_guesses_are_no_reason_to_complain():
    assert "Few guesses were right" not in titles(answer_of([round_of(4, 0)] * 7))


def test_a_draft_that_takes_as_long_as_the_target_is_told():
    answer = answer_of([round_of(draft_s=0.02)] * 40)
    advice = advice_on("The draft itself is slow", answer)
    assert "800 ms of 1.2 s, 5.0 ms a token" in advice.finding
    assert "smaller draft" in advice.step


@pytest.mark.parametrize(("plain", "tone"), [(1000.0, "bad"), (10.0, "quiet")])
def test_a_dear_draft_that_pays_all_the_same_is_no_trouble(plain, tone):
    answer = answer_of([round_of(draft_s=0.02)] * 40, plain=plain)
    assert advice_on("The draft itself is slow", answer).tone == tone


def test_wide_passes_that_cost_much_are_told_where_the_engine_may_draft():
    machine = Machine(pass_costs=(1.0, 2.0, 2.5, 3.0, 3.6))
    title = "Checking several tokens is dear here"
    assert "3.6 plain steps" in advice_on(title, answer_of(GOOD), machine).finding
    assert title not in titles(answer_of(GOOD, speculative={"enabled": False}), machine)
    assert title not in titles(answer_of(GOOD), Machine(pass_costs=(1.0, 1.1, 1.1, 1.2, 1.3)))


def test_a_long_prompt_is_told_with_what_was_still_in_the_cache():
    answer = answer_of(GOOD, prompt_tokens=3000, reused_tokens=1000, prefill_s=5.0)
    advice = advice_on("Reading the prompt took long", answer)
    assert "2,000 new tokens were read in 5.0 s; 1,000 were still" in advice.finding


def test_passes_that_grew_slower_are_told_with_the_depth():
    slow = [round_of(verify_s=0.03, depth=900)] * 40
    advice = advice_on("Passes got slower on the way", answer_of([*GOOD, *slow]))
    assert "at 900 tokens of text, a pass took 3.0 times as long" in advice.finding


@pytest.mark.parametrize(
    ("sampling", "step"),
    [
        ({"json_output": True}, "Switch off JSON output"),
        ({"repetition_penalty": 1.1}, "Leave penalties neutral"),
        ({}, "usual for so small a target"),
    ],
)
def test_time_beside_the_models_is_told_with_what_takes_it(sampling, step):
    answer = answer_of([round_of(other_s=0.01)] * 40, sampling=sampling)
    assert step in advice_on("Much time went beside the models", answer).step


def test_equal_widths_are_told_with_the_setting():
    answer = answer_of(GOOD, speculative={"deterministic": True})
    assert "DETERMINISTIC" in advice_on("Every pass is equally wide", answer).step


@pytest.mark.parametrize(("best", "said"), [(3, "3 would pay best"), (0, "drafting none would")])
def test_a_fixed_length_that_is_not_the_best_is_told(best, said):
    answer = answer_of(GOOD, speculative={"draft_length": "fixed", "max_draft_tokens": 12})
    advice = advice_on("The draft length is fixed", answer, Machine(best_length=best))
    assert said in advice.finding


@pytest.mark.parametrize("best", [12, None])
def test_a_fixed_length_that_is_the_best_or_cannot_be_judged_is_left_alone(best):
    answer = answer_of(GOOD, speculative={"draft_length": "fixed", "max_draft_tokens": 12})
    assert "The draft length is fixed" not in titles(answer, Machine(best_length=best))


@pytest.mark.parametrize(
    ("length", "step"), [("fixed", "Choose the adaptive"), ("adaptive", "Ask on")]
)
def test_slower_than_plain_is_told_with_what_ends_it(length, step):
    answer = answer_of([round_of()] * 40, plain=500.0, speculative={"draft_length": length})
    advice = advice_on("Slower than plain decoding", answer)
    assert advice.finding.startswith("0.73\N{MULTIPLICATION SIGN} the measured plain speed")
    assert step in advice.step


@pytest.mark.parametrize(("has_gpu", "tells_gpu"), [(False, True), (True, False)])
def test_a_target_that_is_too_large_for_the_machine_is_told(has_gpu, tells_gpu):
    machine = Machine(target_bytes=8 * 2**30, has_gpu=has_gpu)
    answer = answer_of([round_of(verify_s=0.4)] * 8, plain=2.5)
    advice = advice_on("The target is heavy for this machine", answer, machine)
    assert "2.5 tokens/s: all of its 8.6 GB" in advice.finding
    assert ("GPU" in advice.step) == tells_gpu


def test_a_busy_machine_is_told_by_its_pace_and_by_its_load():
    advice = advice_on("The machine is busy", answer_of(GOOD), Machine(cores=2, load=5.0, pace=2.0))
    assert "2.0 times as long" in advice.finding
    assert "5.0 programs want its 2 cores" in advice.finding
    assert "The machine is busy" not in titles(answer_of(GOOD), Machine(load=9.0))


def test_short_memory_is_told_and_unknown_memory_is_not():
    title = "Memory is short"
    assert (
        "210 MB" in advice_on(title, answer_of(GOOD), Machine(available_bytes=200 * 2**20)).finding
    )
    assert title not in titles(answer_of(GOOD), Machine(available_bytes=None))


def test_praise_comes_first_and_then_the_dearest_finding():
    answer = answer_of([round_of(4, 1, draft_s=0.002)] * 60, prefill_s=30.0, prompt_tokens=9000)
    found = advise(answer, CALM)
    assert found[0].tone == "good"
    assert found[1].title == "Reading the prompt took long"
    assert [advice.share for advice in found[1:]] == sorted(
        (advice.share for advice in found[1:]), reverse=True
    )


@pytest.mark.parametrize("seconds", [0.0, 1e-300, 1e9])
def test_odd_times_bring_findings_that_can_be_read(seconds):
    rounds = [round_of(draft_s=seconds, verify_s=seconds)] * 40
    for advice in advise(answer_of(rounds, plain=seconds, prefill_s=seconds), CALM):
        assert not {"nan", "inf"} & set(advice.finding.split())
        assert advice.title


def test_every_finding_has_a_sentence_and_every_fault_a_step():
    odd = Machine(2, 9.0, 3.0, 1, 2**33, pass_costs=(1.0, 2, 3, 4, 5), best_length=2)
    changed = Switch(3, Mode("standard", "small", "it does not pay"))
    answers = (
        answer_of([round_of(4, 0, other_s=0.1)] * 40, plain=4.0, switches=(changed,)),
        answer_of([round_of(0, 0)] * 40, mode="standard", drafter=None, plain=900.0),
        answer_of(state="failed", error=None),
    )
    for advice in [advice for answer in answers for advice in advise(answer, odd)]:
        assert advice.finding[0].isupper() or advice.finding[0].isdigit()
        assert advice.finding.endswith(".")
        assert advice.step.endswith(".") or advice.tone == "good"
