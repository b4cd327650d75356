from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import streamlit as st

from tests.chat.stand_in import BASELINE, EMBEDDED_ENTRY, READY, Gate
from tests.pages.steps import ask, check, open_page, shown, wait_for_answer
from utils.backends.ollama_records import PullProgress, RunningModel
from utils.chat.trials import TrialBoard
from utils.draft_ranking import RankedDraft
from utils.engine.protocol import Stats
from utils.errors import ModelFileError, OllamaAnswerError, OllamaUnavailableError
from utils.events import Mode, Started
from utils.llama.probe import ProbeVerdict

LLAMA = replace(
    EMBEDDED_ENTRY,
    name="llama:3b",
    source="ollama",
    is_in_ollama=True,
    quantization="Q4_K_M",
    size_bytes=2 * 10**9,
)
HELD = RunningModel("llama:3b", 2_100_000_000, 0, 4096, None)
SMALL = RankedDraft(
    "small", "small", "usable", "1/8 of the target's size, takes about 300 MB", 1, 1.8
)
LOOKUP_DRAFT = RankedDraft("lookup", "Lookup", "usable", "takes no memory", 2, 1.1)
LARGE = RankedDraft("large", "large", "too large", "does not fit in memory beside the target")
ODD = RankedDraft("odd", "odd", "unfit", "the vocabularies have nothing in common")
HALF = PullProgress("pulling", 10**9, 2 * 10**9)


@pytest.fixture(autouse=True)
def _rank_anew():
    """What a page remembers of drafts is of the test before."""
    st.cache_data.clear()


@pytest.fixture
def page(engine):
    engine.catalogue.show(LLAMA)
    return open_models()


def open_models():
    return check(open_page().switch_page("models.py").run())


def labels(page):
    return [button.label for button in page.button]


def pull(page, name):
    page.text_input(key="pull_name").set_value(name)
    (button,) = [button for button in page.button if button.label == "Pull"]
    return check(button.click().run())


def test_the_list_says_what_each_model_is_and_whether_it_can_speculate(engine):
    odd = replace(LLAMA, name="odd:1b", fitness="unusable", reason="its format is unknown")
    engine.catalogue.show(LLAMA, odd)
    page = open_models()

    assert "Ollama 0.31.1" in shown(page)
    assert "llama:3b" in [text.value for text in page.text]
    assert "Q4\\_K\\_M · 2\\.0 GB" in shown(page)
    assert "Loaded in the engine\\. Can speculate\\." in shown(page)
    assert "Cannot speculate: its format is unknown\\." in shown(page)


def test_names_are_never_read_as_markdown(engine):
    engine.catalogue.show(replace(LLAMA, name="![x](http://evil.example/i.png)"))
    page = open_models()
    assert not any("![" in drawn.value for drawn in (*page.markdown, *page.caption))


def test_without_ollama_the_page_says_what_to_do_and_the_rest_works(engine, page):
    engine.catalogue.show(ollama_problem="Ollama is not running: start it, then ask again")
    check(page.run())
    assert "start it, then ask again" in shown(page)

    before = engine.catalogue.refreshed
    check(page.button(key="ask_ollama").click().run())
    assert engine.catalogue.refreshed == before + 1
    check(page.button(key="chat_embedded").click().run())
    assert page.chat_input


def test_chat_with_it_makes_it_the_target_of_the_chat(engine, page):
    check(page.button(key="chat_llama:3b").click().run())
    assert page.selectbox(key="setting_model").value == "llama:3b"
    ask(page, "1?")
    wait_for_answer(page)
    assert engine.client.asked[0]["model"].name == "llama:3b"


def test_what_is_in_ollamas_memory_is_shown_and_unloaded(engine):
    engine.catalogue.show(replace(LLAMA, running=HELD), running=(HELD,))
    page = open_models()
    assert "In Ollama's memory" in shown(page)
    check(page.button(key="unload_llama:3b").click().run())
    assert engine.ollama.unloaded == ["llama:3b"]


def test_an_unload_that_fails_is_told(engine):
    engine.catalogue.show(replace(LLAMA, running=HELD))
    engine.ollama.error = OllamaUnavailableError("Ollama fell silent")
    page = open_models()
    check(page.button(key="unload_llama:3b").click().run())
    assert "Ollama fell silent" in page.toast[0].value


def test_a_model_is_deleted_after_a_second_thought(engine, page):
    check(page.button(key="delete_llama:3b").click().run())
    assert engine.ollama.deleted == []
    check(page.button(key="delete_for_good").click().run())

    assert engine.ollama.deleted == ["llama:3b"]
    assert "is deleted" in page.toast[0].value
    assert "Delete" not in labels(page)


def test_a_model_in_ollamas_memory_is_unloaded_before_it_is_deleted(engine):
    engine.catalogue.show(replace(LLAMA, running=HELD), running=(HELD,))
    page = open_models()
    check(page.button(key="delete_llama:3b").click().run())
    assert "unload it first" in page.warning[0].value
    assert "Delete" not in labels(page)

    engine.ollama.error = OllamaUnavailableError("Ollama fell silent")
    check(page.button(key="unload_it").click().run())
    assert engine.ollama.unloaded == []
    assert "Ollama fell silent" in page.toast[0].value

    engine.ollama.error = None
    engine.catalogue.show(LLAMA)
    check(page.button(key="unload_it").click().run())
    assert engine.ollama.unloaded == ["llama:3b"]
    assert engine.ollama.deleted == []
    check(page.button(key="delete_for_good").click().run())
    assert engine.ollama.deleted == ["llama:3b"]


def test_a_model_that_went_meanwhile_is_not_asked_about(engine, page):
    check(page.button(key="delete_llama:3b").click().run())
    engine.catalogue.show()
    check(page.run())
    assert "Delete" not in labels(page)


def test_a_model_may_be_kept_after_all(engine, page):
    check(page.button(key="delete_llama:3b").click().run())
    check(page.button(key="keep_model").click().run())
    assert engine.ollama.deleted == []
    assert "Delete" not in labels(page)


def test_a_model_that_the_engine_holds_is_not_deleted(engine, page):
    engine.client.health = replace(READY, model=replace(READY.model, name="llama:3b"))
    check(page.button(key="delete_llama:3b").click().run())
    assert "the engine has llama:3b loaded" in page.warning[0].value.replace("The", "the")
    assert "Delete" not in labels(page)


def test_no_draft_that_the_engine_has_open_is_deleted(engine, page):
    stats = Stats(
        id="",
        rss_bytes=1,
        cached_tokens=0,
        target=READY.model,
        answers=1,
        open_drafts=(
            replace(READY.model, path="/newest.gguf"),
            replace(READY.model, name="llama:3b"),
        ),
    )
    engine.client.health = replace(READY, stats=stats)
    check(page.button(key="delete_llama:3b").click().run())
    assert "has llama:3b open as a draft" in page.warning[0].value
    assert "Delete" not in labels(page)


def test_a_model_that_drafts_an_answer_is_not_deleted(engine, page):
    gate = Gate()
    engine.client.scripts.append(
        [Started(3, 0, 1, BASELINE), Mode("speculative", "llama:3b", ""), gate]
    )
    check(page.switch_page("chat.py").run())
    ask(page, "1?")
    assert gate.reached.wait(10)
    check(page.switch_page("models.py").run())
    check(page.button(key="delete_llama:3b").click().run())
    assert "is writing an answer" in page.warning[0].value
    gate.opened.set()


def test_a_model_that_writes_an_answer_is_not_deleted(engine, page):
    gate = Gate()
    engine.client.scripts.append([gate])
    check(page.button(key="chat_llama:3b").click().run())
    ask(page, "1?")
    assert gate.reached.wait(10)
    check(page.switch_page("models.py").run())
    check(page.button(key="delete_llama:3b").click().run())
    assert "is writing an answer" in page.warning[0].value
    gate.opened.set()


def test_a_deletion_that_fails_is_told_where_it_was_asked_for(engine, page):
    engine.ollama.error = OllamaAnswerError("Ollama may not delete it")
    check(page.button(key="delete_llama:3b").click().run())
    check(page.button(key="delete_for_good").click().run())
    assert "Ollama may not delete it" in page.error[0].value


def test_models_of_others_are_not_ours_to_delete(page):
    with pytest.raises(KeyError):
        page.button(key="delete_embedded")


def test_a_model_is_tried_while_the_page_goes_on(engine, monkeypatch):
    may_end = threading.Event()

    def probe(path, *, cache_folder):
        may_end.wait(10)
        return ProbeVerdict(usable=False, reason="it took too long")

    trials = TrialBoard()
    monkeypatch.setattr("utils.chat.trials.probe_model", probe)
    monkeypatch.setattr("pages.parts.model_list.get_trials", lambda: trials)
    engine.catalogue.show(replace(LLAMA, fitness="untried"))
    page = open_models()
    check(page.button(key="try_llama:3b").click().run())
    assert page.button(key="try_llama:3b").disabled

    may_end.set()
    while trials.is_running("llama:3b"):
        engine.call(engine.catalogue.refresh()).result(5)
    check(page.run())
    assert not page.button(key="try_llama:3b").disabled
    assert "It took too long" in shown(page)


def test_a_pull_shows_how_far_it_is_is_cancelled_and_resumed(engine, page):
    gate = Gate()
    engine.ollama.pull_steps = [HALF, gate]
    pull(page, "tale")
    assert gate.reached.wait(10)
    check(page.run())
    assert "tale:latest" in shown(page)
    assert page.get("progress")[0].proto.value == 50
    assert "1\\.0 of 2\\.0 GB" in page.get("progress")[0].proto.text

    job = engine.pulls.find("tale")
    check(page.button(key="cancel_tale:latest").click().run())
    gate.opened.set()
    assert job.wait(10)
    check(page.run())
    assert "what has arrived is kept" in shown(page)

    engine.ollama.pull_steps = [replace(HALF, status="success", done_bytes=2 * 10**9)]
    check(page.button(key="resume_tale:latest").click().run())
    assert engine.pulls.find("tale").wait(10)
    check(page.run())
    with pytest.raises(KeyError):
        page.button(key="resume_tale:latest")


def test_the_list_is_read_again_when_a_pull_has_ended(engine, page):
    gate = Gate()
    engine.ollama.pull_steps = [gate]
    pull(page, "tale")
    before = engine.catalogue.refreshed
    gate.opened.set()
    assert engine.pulls.find("tale").wait(10)
    check(page.run())
    assert engine.catalogue.refreshed > before


def test_a_pull_that_fails_says_why_and_can_be_put_away(engine, page):
    engine.ollama.pull_steps = [OllamaAnswerError("Ollama finds no such model: check the name")]
    pull(page, "typo")
    assert engine.pulls.find("typo").wait(10)
    check(page.run())
    assert "Ollama finds no such model" in shown(page)
    check(page.button(key="dismiss_typo:latest").click().run())
    assert "Ollama finds no such model" not in shown(page)


@pytest.mark.parametrize(
    ("name", "said"), [("../etc", "write one like llama3"), (" ", "no model is named")]
)
def test_what_is_no_name_is_refused_in_a_sentence(engine, page, name, said):
    pull(page, name)
    assert said in page.error[0].value.lower()
    assert engine.pulls.jobs() == ()


def rank(monkeypatch, *drafts, problem=""):
    def rank_drafts(target, settings, *, is_loaded, has_gpu):
        if problem:
            raise ModelFileError(problem)
        return list(drafts)

    monkeypatch.setattr("pages.parts.draft_table.rank_drafts", rank_drafts)


def suggest(monkeypatch, name):
    monkeypatch.setattr("pages.parts.draft_table.suggested_pull", lambda target: name)


def plain(page):
    return shown(page).replace("\\", "").replace("\u2060", "")


def test_the_drafts_of_a_target_are_ranked_with_what_is_known_of_each(engine, monkeypatch):
    speeds = {("embedded", "small"): (41.0, 1.5, 3)}
    monkeypatch.setattr("pages.parts.draft_table.measured_speeds", lambda database: speeds)
    rank(monkeypatch, SMALL, LOOKUP_DRAFT, LARGE, ODD)
    page = open_models()

    said = plain(page)
    assert "1. small" in said
    assert "1/8 of the target's size, takes about 300 MB" in said
    assert "Measured in 3 kept answers: 41.0 tokens/s, 1.50\N{MULTIPLICATION SIGN} plain" in said
    assert "Does not fit in memory beside the target" in said
    assert "odd: the vocabularies have nothing in common" in said
    badges = [badge for badge in said.splitlines() if badge.startswith(":")]
    assert any("Best here" in badge for badge in badges)
    assert any("Does not fit in memory" in badge for badge in badges)


def test_a_draft_of_another_vocabulary_says_how_it_drafts_however_much_is_in_common(
    engine, monkeypatch
):
    rank(monkeypatch, replace(SMALL, fit="tokens"))
    said = plain(open_models())
    assert "drafts in the tokens that both vocabularies have" in said
    assert "the vocabulary of the target" not in said


def test_the_drafts_of_another_target_are_shown_when_it_is_chosen(engine, monkeypatch):
    asked = []

    def rank_drafts(target, settings, *, is_loaded, has_gpu):
        asked.append((target, is_loaded))
        return [LOOKUP_DRAFT]

    monkeypatch.setattr("pages.parts.draft_table.rank_drafts", rank_drafts)
    engine.catalogue.show(LLAMA, replace(LLAMA, name="gone:1b", fitness="unusable"))
    page = open_models()
    targets = page.selectbox(key="draft_table_target")
    assert len(targets.options) == 2
    check(targets.set_value("llama:3b").run())
    assert asked == [("embedded", True), ("llama:3b", False)]


def test_where_nothing_drafts_well_a_small_relative_is_offered_and_pulled(engine, monkeypatch):
    rank(monkeypatch, LOOKUP_DRAFT, LARGE)
    suggest(monkeypatch, "llama3.2:1b")
    engine.ollama.pull_steps = [HALF]
    page = open_models()
    assert "No model that is installed can draft for it. llama3.2:1b, from Ollama" in plain(page)

    check(page.button(key="pull_suggestion").click().run())
    assert engine.pulls.find("llama3.2:1b") is not None


@pytest.mark.parametrize(
    ("drafts", "name"),
    [(["small", "lookup"], "llama3.2:1b"), (["lookup"], ""), (["lookup"], "llama:3b")],
)
def test_nothing_is_offered_where_it_is_not_needed_not_known_or_here_already(
    engine, monkeypatch, drafts, name
):
    rank(monkeypatch, *[draft for draft in (SMALL, LOOKUP_DRAFT) if draft.name in drafts])
    suggest(monkeypatch, name)
    engine.catalogue.show(LLAMA)
    with pytest.raises(KeyError):
        open_models().button(key="pull_suggestion")


def test_nothing_can_be_pulled_while_ollama_does_not_answer(engine, monkeypatch):
    rank(monkeypatch, LOOKUP_DRAFT)
    suggest(monkeypatch, "llama3.2:1b")
    engine.catalogue.show(ollama_problem="Ollama is not running: start it")
    assert open_models().button(key="pull_suggestion").disabled


def test_a_target_whose_drafts_cannot_be_told_says_why(engine, monkeypatch):
    rank(monkeypatch, problem="model file is truncated: download it again")
    page = open_models()
    assert "Model file is truncated" in page.error[0].value
