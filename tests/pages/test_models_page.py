from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.chat.stand_in import EMBEDDED_ENTRY, READY, Gate
from tests.pages.steps import ask, check, open_page, shown, wait_for_answer
from utils.backends.ollama_records import PullProgress, RunningModel
from utils.chat.trials import TrialBoard
from utils.errors import OllamaAnswerError, OllamaUnavailableError
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
HALF = PullProgress("pulling", 10**9, 2 * 10**9)


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
    assert "Cannot speculate:\u2060 its format is unknown\\." in shown(page)


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


def test_a_model_may_be_kept_after_all(engine, page):
    check(page.button(key="delete_llama:3b").click().run())
    check(page.button(key="keep_model").click().run())
    assert engine.ollama.deleted == []
    assert "Delete" not in labels(page)


def test_a_model_that_the_engine_holds_is_not_deleted(engine, page):
    engine.client.health = replace(READY, model=replace(READY.model, name="llama:3b"))
    check(page.button(key="delete_llama:3b").click().run())
    assert "the engine has llama:\u20603b loaded" in page.warning[0].value.replace("The", "the")
    assert "Delete" not in labels(page)


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


@pytest.mark.parametrize(("name", "said"), [("../etc", "not a name"), (" ", "no model is named")])
def test_what_is_no_name_is_refused_in_a_sentence(engine, page, name, said):
    pull(page, name)
    assert said in page.error[0].value.lower()
    assert engine.pulls.jobs() == ()
