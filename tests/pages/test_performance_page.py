from __future__ import annotations

from dataclasses import replace

import pytest

from config import SamplingParams, SpeculativeConfig
from tests.chat.stand_in import BASELINE, READY, Gate, finished, round_of
from tests.pages.steps import check, open_page, shown
from utils.chat.archive import get_archive
from utils.chat.conversation import Conversation
from utils.chat.jobs import JobBoard
from utils.chat.turns import AnswerSettings
from utils.engine.figures import DraftFigures, PassCosts
from utils.engine.protocol import Stats
from utils.errors import EngineCrashedError, StorageError
from utils.events import Mode, Started

OWNER = "a-browser-of-22-chars-"
SETTINGS = AnswerSettings(SamplingParams(), SpeculativeConfig())
WORDS = ["a", " b", " c", " d"]
STOPPED = Mode("standard", "demo-draft", "drafting would not be faster here")
STATS = Stats(
    id="",
    rss_bytes=900_000_000,
    cached_tokens=10,
    target=READY.model,
    answers=1,
    target_bytes=500_000_000,
    cache_bytes=100_000_000,
    passes=(PassCosts(16, tuple(0.01 + 0.001 * n for n in range(17))),),
    drafts=(DraftFigures("demo-draft", 0.002, 0.8, 100, 0.4, 0, 6),),
)

pytestmark = pytest.mark.usefixtures("browser")


def drafted(rounds=12, *, then=()):
    """An answer that was drafted well, and what happened after it."""
    told = [round_of(WORDS, drafted=4, start=4 * n) for n in range(rounds)]
    mode = Mode("speculative", "demo-draft", "")
    return [Started(12, 4, 7, BASELINE), mode, *told, *then, finished(told)]


def answered(engine, *scripts, owner=OWNER, settings=SETTINGS):
    """Have answers kept as the chat keeps them."""
    conversation = Conversation(owner=owner)
    for script in scripts:
        engine.client.scripts.append(list(script))
        job = conversation.ask("?", settings, board=JobBoard(), runtime=engine)
        assert job.wait(10)
    get_archive().save(conversation)
    return conversation


def open_performance():
    return check(open_page().switch_page("performance.py").run())


def plain(page):
    return shown(page).replace("\\", "").replace("\u2060", "")


def charts(page):
    return [chart.proto.alt for chart in page.get("plotly_chart")]


def test_without_answers_the_page_says_how_there_come_to_be_some(engine):
    page = open_performance()
    assert "No answer has been measured yet" in plain(page)
    assert charts(page) == []


def test_answers_are_listed_by_model_and_draft_with_all_charts(engine):
    answered(engine, drafted(), drafted())
    page = open_performance()

    (table,) = page.table
    row = {name: str(value) for name, value in table.value.iloc[0].items()}
    assert row["Model"] == "Embedded target"
    assert row["Answers"].startswith("2")
    assert row["Accepted"].startswith("75")
    for told in (
        "Acceptance by place in the draft. The first token of a draft was kept 100%",
        "Tokens kept in a round. A round with drafts kept 3.0 of them",
        "Draft length along the answer. Drafted 4.0 tokens a round",
        "What a pass over several tokens costs",
        "Where the time went",
        "Memory of the engine",
        "Speed of the answers",
    ):
        assert any(told in alt for alt in charts(page)), told


def test_an_answer_is_chosen_by_its_group_and_time(engine):
    answered(engine, drafted(), drafted(2))
    switched_off = replace(SETTINGS, speculative=SpeculativeConfig(enabled=False))
    words = [round_of([word], drafted=0, start=n) for n, word in enumerate(WORDS)]
    off = Mode("standard", None, "drafting is switched off")
    answered(
        engine, [Started(12, 4, 7, BASELINE), off, *words, finished(words)], settings=switched_off
    )
    page = open_performance()

    assert "Drafting was switched off" in plain(page)
    groups = page.selectbox(key="performance_group")
    assert groups.options == [
        "Embedded target, draft: none",
        "Embedded target, draft: demo-draft",
    ]
    assert not any("Acceptance by place" in alt for alt in charts(page))

    check(groups.set_value("embedded\ndemo-draft\nengine").run())
    assert "Drafting was switched off" not in plain(page)
    assert any("Acceptance by place" in alt for alt in charts(page))


def test_the_newest_answers_can_be_seen_together(engine):
    answered(engine, drafted(4), drafted(4))
    page = open_performance()
    answers = page.selectbox(key="performance_answer")
    assert answers.options[-1] == "All together"
    check(answers.set_value("").run())
    assert "A round with drafts kept 3.0" in plain(page)
    assert "about the newest of these 2 answers alone" in plain(page)
    assert not any("Draft length along" in alt for alt in charts(page))


def test_the_reason_of_each_change_is_told_under_the_draft_length(engine):
    answered(engine, drafted(then=(STOPPED,)))
    assert "At token 48 drafting stopped: drafting would not be faster here" in plain(
        open_performance()
    )


def test_what_the_engine_knows_of_its_target_is_told(engine):
    engine.client.health = replace(READY, stats=STATS)
    answered(engine, drafted())
    page = open_performance()
    assert "A pass over 8 tokens takes 1.7 times as long" in plain(page)
    assert "6 tokens a round would pay best now" in plain(page)
    assert "900 MB in all: target 500 MB, context 100 MB, other 300 MB" in plain(page)


def test_costs_of_a_target_that_is_not_loaded_are_those_kept_or_none(engine):
    engine.client.health = replace(READY, stats=STATS, model=replace(READY.model, name="other"))
    answered(engine, drafted())
    assert "The engine holds another model now" in plain(open_performance())


def test_a_failed_answer_says_why(engine):
    answered(engine, [Started(1, 0, 1, BASELINE), EngineCrashedError("the worker died: ask again")])
    page = open_performance()
    assert "The answer failed" in plain(page)
    assert "The worker died: ask again." in plain(page)


def test_what_comes_from_models_is_never_read_as_markdown(engine):
    evil = "![x](http://evil.example/i.png)"
    answered(engine, drafted(then=(Mode("standard", evil, evil),)))
    page = open_performance()
    assert not any("![" in drawn.value for drawn in (*page.markdown, *page.caption))


def test_answers_of_other_browsers_and_temporary_chats_are_not_shown(engine):
    answered(engine, drafted(), owner="another-of-22-chars---")
    assert "No answer has been measured yet" in plain(open_performance())


def test_an_answer_that_is_being_written_is_not_there_yet(engine):
    gate = Gate()
    conversation = Conversation(owner=OWNER)
    engine.client.scripts.append([Started(1, 0, 1, BASELINE), gate])
    job = conversation.ask("?", SETTINGS, board=JobBoard(), runtime=engine)
    assert gate.reached.wait(10)
    get_archive().save(conversation)
    assert "No answer has been measured yet" in plain(open_performance())
    gate.opened.set()
    assert job.wait(10)


def test_an_answer_that_is_deleted_meanwhile_is_told(engine):
    conversation = answered(engine, drafted())
    page = open_performance()
    get_archive().delete(conversation.id)
    check(page.run())
    assert "No answer has been measured yet" in plain(page)


def test_a_database_that_fails_is_told_in_a_sentence(engine, monkeypatch):
    def fail(*_arguments):
        raise StorageError("specchat.db cannot be used: the disk is full")

    monkeypatch.setattr("pages.parts.answer_history.list_answers", fail)
    page = open_performance()
    assert "the disk is full" in page.error[0].value


def test_a_choice_stays_while_answers_arrive(engine):
    answered(engine, drafted(2))
    answered(engine, [Started(1, 0, 1, BASELINE), round_of(["x"], drafted=0), finished([])])
    page = open_performance()
    check(page.selectbox(key="performance_group").set_value("embedded\ndemo-draft\nengine").run())
    before = page.selectbox(key="performance_answer").value
    answered(engine, drafted(3))
    check(page.run())
    assert page.selectbox(key="performance_group").value == "embedded\ndemo-draft\nengine"
    assert page.selectbox(key="performance_answer").value == before
