from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chat.stand_in import BASELINE, finished, round_of
from utils.backends.protocol import ModelChoice
from utils.chat.answer_history import list_answers, load_answer, measured_speeds
from utils.chat.conversation import Conversation
from utils.errors import EngineCrashedError
from utils.events import Mode, Started


@pytest.fixture
def answered(engine, ask, archive, settings):
    """Have one answer of these steps by a model, and save it."""

    def answered(*steps, model="", owner="me"):
        engine.client.scripts.append([Started(12, 4, 7, BASELINE), *steps])
        conversation = Conversation(owner=owner)
        ask(conversation, "1?", replace(settings, model=ModelChoice(model)))
        archive.save(conversation)
        return conversation

    return answered


def drafted(*words):
    tokens = round_of(words, drafted=3)
    return Mode("speculative", "demo-draft", ""), tokens, finished([tokens])


def test_an_answer_is_kept_in_figures(database, answered):
    conversation = answered(*drafted("Good", " day", "."), model="big")
    (figures,) = list_answers(database, "me")
    answer = conversation.turns[0].answer
    assert (figures.model, figures.drafter, figures.backend) == ("big", "demo-draft", "engine")
    assert (figures.mode, figures.state, figures.error) == ("speculative", "done", "")
    assert (figures.turn_id, figures.conversation_id) == (conversation.turns[0].id, conversation.id)
    assert (figures.drafted, figures.accepted, figures.rounds) == (3, 2, 1)
    assert (figures.completion_tokens, figures.decode_s) == (3, answer.stats.decode_s)
    assert (figures.draft_s, figures.verify_s, figures.total_s) == (0.001, 0.004, 0.005)
    assert (figures.baseline_tps, figures.ttft_s) == (100.0, 0.02)
    assert (figures.draft_length, figures.fell_back) == ("adaptive", False)


def test_the_target_of_the_settings_is_named(database, answered):
    answered(*drafted("a"))
    assert list_answers(database, "me")[0].model == "embedded"


def test_a_failed_answer_says_why(database, answered):
    answered(*drafted("a")[:2], EngineCrashedError("the engine died"))
    (figures,) = list_answers(database, "me")
    assert (figures.state, figures.error) == ("failed", "the engine died")


def test_an_answer_that_another_went_on_with_fell_back(database, answered):
    first, second = round_of(["a"], drafted=3), round_of(["b"], drafted=0, start=1)
    mode = Mode("standard", None, "engine failed: died", "Ollama", "engine failed: died; Ollama")
    answered(first, mode, second, finished([first, second]))
    (figures,) = list_answers(database, "me")
    assert (figures.fell_back, figures.backend, figures.mode) == (True, "ollama", "standard")
    assert measured_speeds(database) == {}


def test_the_newest_answers_come_first_and_nobody_elses(database, answered):
    first, second = answered(*drafted("a")), answered(*drafted("b"))
    answered(*drafted("c"), owner="you")
    found = [figures.conversation_id for figures in list_answers(database, "me")]
    assert found == [second.id, first.id]
    assert len(list_answers(database, "me", limit=1)) == 1


def test_all_of_an_answer_is_loaded_by_its_turn(database, answered):
    turn = answered(*drafted("a", "b")).turns[0]
    loaded = load_answer(database, turn.id)
    assert (loaded.text, loaded.rounds) == ("ab", turn.answer.rounds)
    assert load_answer(database, "nobody") is None


def test_answers_of_deleted_conversations_are_not_shown(database, archive, answered):
    conversation = answered(*drafted("a"))
    archive.delete(conversation.id)
    assert list_answers(database, "me") == []
    assert load_answer(database, conversation.turns[0].id) is None


def test_speeds_are_measured_by_model_and_drafter(database, answered):
    plain = round_of(["a"], drafted=0)
    answered(*drafted("a", "b"), model="big")
    answered(*drafted("a", "b", "c", "d"), model="big")
    answered(plain, finished([plain]), model="big")
    speeds = measured_speeds(database)
    rate, speedup, answers = speeds["big", "demo-draft"]
    assert (rate, answers) == (pytest.approx(6 / 0.01), 2)
    assert speedup == pytest.approx(6 / 0.01 / 100)
    assert speeds["big", ""] == (pytest.approx(200), pytest.approx(2), 1)
