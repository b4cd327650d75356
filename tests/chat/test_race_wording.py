from __future__ import annotations

import json
from dataclasses import replace

import pytest

from config import SpeculativeConfig
from tests.chat.racing import DRAFTED, OLLAMA, PLAIN, answer, race, request
from utils.chat import race_wording
from utils.chat.race_exports import fenced, race_json, race_markdown
from utils.chat.race_snapshots import Divergence, Entrant
from utils.chat.snapshots import Handover
from utils.chat.wording import TIMES

SLOW, FAST = answer(token_s=0.02), answer(token_s=0.01)
PARTED = Divergence(2, 9, (" cat", "car"), "I see ", logits=(9.5, 9.498), top=" cat")


def block(verifier):
    return Entrant(SpeculativeConfig(verifier=verifier))


@pytest.mark.parametrize(
    ("entrant", "label"),
    [
        (PLAIN, "Standard"),
        (OLLAMA, "Ollama"),
        (DRAFTED, "Speculative"),
        (
            Entrant(
                SpeculativeConfig(
                    draft_model="lookup",
                    draft_length="fixed",
                    max_draft_tokens=4,
                    verifier="block",
                )
            ),
            "Speculative · lookup in the text · 4 tokens a round · block verification",
        ),
    ],
)
def test_a_side_is_called_by_what_sets_it_apart(entrant, label):
    assert race_wording.entrant_label(entrant) == label


def test_a_blind_side_is_called_by_its_letter_until_the_vote():
    blind = race(("a", SLOW), ("b", FAST), asked=request(is_blind=True))
    assert race_wording.side_label(blind, "b") == "B"
    assert race_wording.side_label(replace(blind, vote="a"), "b") == "B: Speculative"


def test_the_verdict_says_how_sure_it_is():
    def sentence(*runs):
        return race_wording.verdict_sentence(race(*runs))

    pair = [("a", SLOW), ("b", FAST)]
    assert sentence() == "No verdict yet: both sides must have run to an end once."
    assert f"was 2.00{TIMES} as fast as Standard, in 1 run each. How sure" in sentence(*pair)
    clear = f"Speculative is 2.00{TIMES} as fast as Standard here (95% interval 2.00 to 2.00, "
    assert sentence(*pair * 3) == f"{clear}3 runs each)."
    even = [("a", SLOW), ("b", SLOW)] * 3
    assert sentence(*even).startswith(f"No difference shown: Standard was 1.00{TIMES}")


def test_two_sides_of_one_kind_are_told_apart_by_letters():
    seen = race(*[("a", SLOW), ("b", FAST)] * 3, asked=request(a=DRAFTED, b=DRAFTED))
    assert race_wording.verdict_sentence(seen).startswith(f"B is 2.00{TIMES} as fast as A here")


def test_the_state_says_how_far_it_is():
    writing = answer(("one",), ids=(0,), ends=False)
    running = race(("a", SLOW), current=("b", writing), state="running")
    assert race_wording.state_line(running) == "Run 2 of 8: B writes"
    assert (
        race_wording.state_line(race(("a", SLOW), state="stopped")) == "Stopped after 1 of 8 runs"
    )


def test_identical_answers_are_told_with_how_many():
    seen = race(("a", SLOW), ("b", FAST))
    assert race_wording.same_text_sentence(seen) == "Identical: all 2 runs wrote the same 3 tokens."


def test_texts_that_are_drawn_with_other_random_numbers_are_no_divergence():
    parting = (("a", answer(("one",), ids=(0,), writer="Ollama")), ("b", FAST))
    hot = race(*parting, divergence=PARTED, asked=request(a=OLLAMA, temperature=0.8))
    said = race_wording.same_text_sentence(hot)
    assert said == f"The texts are not compared. {race_wording.OWN_DRAWS}"
    assert "The texts are not compared" in race_markdown(hot)
    assert "The texts part" not in race_markdown(hot)
    assert json.loads(race_json(hot))["differs_by_draw"] is True
    for asked in (
        request(a=OLLAMA),
        request(temperature=0.8),
        request(a=OLLAMA, b=OLLAMA, temperature=0.8),
    ):
        assert not asked.differs_by_draw


def test_where_a_side_has_no_speed_it_says_why():
    lost, begun = answer(drafter=None), answer((), ids=(), ends=False)
    running = race(("a", SLOW), state="running")
    assert race_wording.no_speed(running, "b") == "waits for its turn"
    assert race_wording.no_speed(replace(running, state="stopped"), "b") == "did not run"
    on = race(("a", SLOW), state="running", current=("b", begun))
    assert race_wording.no_speed(on, "b") == "no speed yet"
    assert race_wording.no_speed(race(("b", lost), state="running"), "b") == "no speed yet"
    assert race_wording.no_speed(race(("b", lost)), "b") == "no run counts"


def told(parted=PARTED, **asked):
    return race_wording.divergence_sentence(race(asked=request(**asked)), parted)


def test_a_divergence_is_told_with_both_words_and_the_gap():
    text = told()
    assert "part at token 3: A wrote “␣cat”, B wrote “car”." in text
    assert "the logits 9.500 and 9.498, a gap of 0.002." in text
    assert "rounds otherwise" in text


def test_texts_that_part_at_once_part_at_their_first_token():
    assert "part at token 1:" in told(replace(PARTED, shared_tokens=0, shared_chars=0))


def test_texts_need_not_match_where_a_verifier_keeps_only_their_distribution():
    hot = request(b=block("block"), temperature=0.8)
    assert race_wording.distribution_verifier(hot) == "block verification"
    for asked in (
        request(b=block("block")),
        request(temperature=0.8),
        request(a=OLLAMA, b=block("block"), temperature=0.8),
    ):
        assert race_wording.distribution_verifier(asked) == ""


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"a": OLLAMA}, "Ollama may round"),
        ({"a": OLLAMA, "b": OLLAMA, "temperature": 0.8}, "otherwise from run to run"),
        ({"b": block("block"), "temperature": 0.8}, "block verification keeps the distribution"),
        ({"b": block("rejection"), "temperature": 0.8}, "rejection sampling keeps"),
        ({"b": block("block")}, "rounds otherwise"),
        ({"temperature": 0.8}, "same noise"),
    ],
)
def test_why_texts_part_depends_on_how_both_were_written(asked, why):
    assert why in told(**asked)


def test_a_gap_that_rounding_does_not_explain_is_not_explained_away():
    text = told(replace(PARTED, logits=(9.5, 4.0)))
    assert "more than rounding explains" in text
    assert "that decided" not in text


def test_a_token_that_neither_took_is_named_where_the_target_finds_it_likelier():
    assert "likelier" not in told()
    assert "It finds “⏎␣” likelier than both." in told(replace(PARTED, top="\n "))


def test_an_answer_that_ended_and_unknown_logits_are_told():
    text = told(Divergence(0, 4, ("cat", ""), problem="the engine broke"))
    assert "part at character 5: A wrote “cat”, B ended." in text
    assert "logits there are not known: the engine broke." in text


def test_a_side_that_another_wrote_says_who_and_why():
    seen = race(("a", answer()), asked=request(a=OLLAMA))
    said = race_wording.left_out_sentence(seen.runs[0])
    assert said == "the engine wrote this, so it is left out of the comparison: because"
    assert race_wording.left_out_sentence(race(("a", answer())).runs[0]) == ""


def test_a_side_that_two_wrote_says_where_the_first_one_failed():
    joined = replace(answer(writer="Ollama"), handovers=(Handover(3, "Ollama failed: gone"),))
    seen = race(("a", joined), asked=request(a=OLLAMA))
    assert race_wording.left_out_sentence(seen.runs[0]) == (
        "more than one wrote this, so it is left out of the comparison: Ollama failed: gone"
    )


def test_no_text_can_end_the_fence_that_it_stands_in():
    assert fenced("a\n````\nb") == "`````text\na\n````\nb\n`````"


def test_the_markdown_has_prompt_verdict_runs_and_both_answers():
    text = race_markdown(race(("a", SLOW), ("b", FAST), divergence=PARTED))
    assert "```text\nCount to three.\n```" in text
    assert "| 2 | B | 3 | 100 |" in text
    assert text.count("```text\none two three\n```") == 2
    assert "as fast as Standard" in text


def test_the_json_holds_what_was_asked_and_measured():
    told = json.loads(race_json(race(("a", SLOW), ("b", FAST), divergence=PARTED)))
    assert (told["format"], told["version"], told["state"]) == ("specchat-comparison", 1, "done")
    assert told["messages"][0]["content"] == "Count to three."
    assert told["sampling"]["seed"] == 7
    assert [run["side"] for run in told["runs"]] == ["a", "b"]
    assert told["runs"][1]["token_ids"] == [0, 1, 2]
    assert told["verdict"]["faster"] == "b"
    assert told["divergence"]["logits"] == [9.5, 9.498]
    assert told["sides"]["a"]["label"] == "Standard"


def test_a_run_that_lost_its_draft_is_no_run_of_its_side_and_says_so():
    plain = answer(drafter=None, token_s=0.5)
    seen = race(("a", SLOW), ("b", plain), ("b", FAST))
    lost = seen.runs[1]
    assert lost.has_lost_draft
    assert seen.ended("b") == (seen.runs[2],)
    assert f"2.00{TIMES}" in race_wording.verdict_sentence(seen)
    assert race_wording.left_out_sentence(lost) == (
        "nothing drafted in this run, so it is left out of the comparison: because"
    )
    assert "| left out |" in race_markdown(seen)
    assert race_wording.left_out_sentence(seen.runs[2]) == ""


def test_a_standard_run_needs_no_draft():
    assert race(("a", answer(drafter=None))).runs[0].counts


def test_a_side_of_which_no_run_is_left_is_told_at_the_end():
    seen = race(("a", SLOW), ("b", answer(drafter=None)))
    assert race_wording.verdict_sentence(seen) == (
        "No verdict: no run of B was written as it was to be."
    )
    assert "yet" in race_wording.verdict_sentence(replace(seen, state="running"))
