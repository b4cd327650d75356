from __future__ import annotations

from dataclasses import replace

import pytest
import streamlit as st

from config import SamplingParams, get_settings
from tests.chat.stand_in import EMBEDDED_ENTRY, MODEL, READY, Gate
from tests.pages.steps import ask, check, draw_all, open_page, shown, wait_for_answer
from utils.backends.modelfile import ModelDefaults
from utils.backends.ollama_records import RunningModel
from utils.backends.protocol import ModelChoice
from utils.draft_ranking import RankedDraft
from utils.errors import ModelLoadError

TALE = replace(
    EMBEDDED_ENTRY, name="tale", source="folder", quantization="Q4_0", size_bytes=2 * 10**9
)
LLAMA = replace(
    TALE,
    name="llama:3b",
    source="ollama",
    is_in_ollama=True,
    defaults=ModelDefaults(SamplingParams(temperature=0.3, stop=("END",)), system="Be a llama."),
)
ODD = replace(LLAMA, name="odd:1b", fitness="unusable", reason="its format is unknown")
EMBEDDER = replace(LLAMA, name="embed:1b", capabilities=("embedding",))
HELD = RunningModel("llama:3b", 2_100_000_000, 0, 4096, None)
FIT = RankedDraft("fit", "Fit", "usable", "1/9 of the size", rank=1)
LOOKUP = replace(FIT, name="lookup", label="Lookup", rank=2)


@pytest.fixture(autouse=True)
def options(monkeypatch):
    """The drafts by target; what is not named has lookup alone."""
    by_target = {"embedded": [replace(FIT, name="embedded", label="Embedded draft"), LOOKUP]}
    monkeypatch.setattr(
        "pages.parts.settings.rank_drafts", lambda target, *_, **__: by_target.get(target, [LOOKUP])
    )
    st.cache_data.clear()
    yield by_target
    st.cache_data.clear()


@pytest.fixture
def page(engine):
    engine.catalogue.show(TALE, LLAMA, ODD, EMBEDDER)
    return open_page()


def choose(page, name):
    return check(page.selectbox(key="setting_model").select(name).run())


def badge(page):
    return next(element.value for element in page.markdown if "-badge[" in element.value)


def settled(engine, page):
    """Draw the page once nothing is being loaded any more."""
    loader = page.session_state["target_loader"]
    while loader.state.is_running:
        engine.call(engine.catalogue.refresh()).result(5)
    return check(page.run())


def test_the_choice_offers_what_can_chat_and_begins_with_the_embedded_target(page):
    box = page.selectbox(key="setting_model")
    assert box.value == "embedded"
    assert box.options == [
        "Embedded target · F16 · 23 MB",
        "tale · Q4_0 · 2.0 GB",
        "llama:3b · Q4_0 · 2.0 GB",
        "odd:1b · Q4_0 · 2.0 GB",
    ]


def test_the_target_of_the_settings_is_chosen_where_it_is_there(engine, monkeypatch):
    monkeypatch.setenv("SPECCHAT_TARGET_MODEL", "tale")
    get_settings.cache_clear()
    try:
        page = open_page()
        assert page.selectbox(key="setting_model").value == "embedded"
        engine.catalogue.show(TALE)
        check(page.run())
        assert page.selectbox(key="setting_model").value == "tale"
    finally:
        get_settings.cache_clear()
    assert engine.client.loaded == []


def test_the_chosen_model_answers_and_is_loaded_at_once(engine, page):
    choose(page, "tale")
    settled(engine, page)
    ask(page, "1?")
    wait_for_answer(page)

    assert engine.client.loaded == ["tale"]
    assert engine.client.asked[0]["model"] == ModelChoice("tale")


def test_a_choice_survives_a_page_switch(engine, page):
    choose(page, "tale")
    check(page.switch_page("models.py").run())
    check(page.switch_page("chat.py").run())
    assert page.selectbox(key="setting_model").value == "tale"


def test_a_model_brings_its_sampling_and_its_system_prompt(page):
    choose(page, "llama:3b")

    assert page.slider(key="setting_temperature").value == 0.3
    assert page.text_area(key="setting_stop").value == "END"
    assert "Be a llama." in page.text_area(key="setting_system_prompt").placeholder
    assert "Its Modelfile sets temperature 0\\.3" in shown(page)
    choose(page, "embedded")
    assert page.slider(key="setting_temperature").value == 0.8


def test_what_the_user_changed_stays_until_another_model_is_chosen(page):
    choose(page, "llama:3b")
    check(page.slider(key="setting_temperature").set_value(1.2).run())
    check(page.run())
    assert page.slider(key="setting_temperature").value == 1.2


def test_values_that_no_widget_takes_are_brought_within_its_bounds(engine):
    wild = SamplingParams(temperature=4.0, top_p=0.001, seed=2**60, repetition_penalty=0.01)
    engine.catalogue.show(replace(LLAMA, defaults=ModelDefaults(wild)))
    page = choose(open_page(), "llama:3b")
    assert page.slider(key="setting_temperature").value == 4.0
    assert page.number_input(key="setting_top_p").value == 0.01


def test_the_drafts_are_those_for_the_chosen_model(options, page):
    options["tale"] = [FIT, LOOKUP]
    choose(page, "tale")
    box = page.selectbox(key="setting_draft_model")
    assert box.options == ["Automatic: Fit", "Fit", "Lookup"]
    box.select("lookup")
    draw_all(page)
    assert page.selectbox(key="setting_draft_model").value == "lookup"
    choose(page, "llama:3b")
    box = page.selectbox(key="setting_draft_model")
    assert (box.value, box.options) == ("auto", ["Automatic: Lookup", "Lookup"])


def test_a_model_that_cannot_speculate_is_left_to_ollama_with_the_reason(engine, page):
    choose(page, "odd:1b")

    assert page.toggle(key="cannot_speculate").disabled
    assert "its format is unknown; Ollama answers" in shown(page)
    assert "Standard" in badge(page)
    assert engine.client.loaded == []
    choose(page, "embedded")
    assert page.toggle(key="setting_enabled").value


def test_a_target_that_takes_nothing_back_says_so(engine, options, page):
    engine.client.health = replace(READY, model=replace(MODEL, name="tale"))
    options["tale"] = [replace(LOOKUP, verdict="unfit", sentence="mamba is a recurrent model")]
    choose(page, "tale")
    assert page.toggle(key="cannot_speculate").disabled
    settled(engine, page)
    assert "Standard" in badge(page)
    assert "cannot speculate: mamba is a recurrent model" in shown(page).replace("\u2060", "")


def test_the_user_may_have_ollama_answer(engine, page):
    choose(page, "llama:3b")
    settled(engine, page)
    check(page.button_group(key="setting_backend").set_value("ollama").run())
    assert "Standard" in badge(page)
    ask(page, "1?")
    wait_for_answer(page)

    assert engine.client.asked[0]["model"] == ModelChoice("llama:3b", "ollama")
    choose(page, "tale")
    assert page.session_state["setting_backend"] == "auto"


def test_the_label_of_before_that_a_browser_sends_on_is_no_choice(engine, page, monkeypatch):
    settled(engine, choose(page, "tale"))
    box = page.selectbox(key="setting_model")
    before = list(box.options)
    grown = [
        replace(entry, size_bytes=entry.size_bytes + 10**9) if entry.name == "tale" else entry
        for entry in engine.catalogue.current.entries
    ]
    engine.catalogue.show(*(entry for entry in grown if entry.name != "embedded"))
    check(page.run())
    box = page.selectbox(key="setting_model")
    assert box.options != before

    box.options = [label for label in before if label.startswith("tale")]
    monkeypatch.setattr(type(box), "index", 0)
    check(page.run())
    assert page.session_state["setting_model"] == "tale"
    assert engine.client.loaded == ["tale"]


def test_the_badge_follows_the_loading_and_what_came_of_it(engine, page):
    gate = Gate()
    engine.client.load_steps = [gate, ModelLoadError("model needs more memory")]
    choose(page, "tale")
    assert gate.reached.wait(10)
    check(page.run())
    assert "Loading" in badge(page)

    gate.opened.set()
    settled(engine, page)
    assert "Not loaded" in badge(page)
    assert "model needs more memory" in shown(page)


@pytest.mark.parametrize(
    ("decision", "unloaded"), [("unload_and_load", ["llama:3b"]), ("load_anyway", [])]
)
def test_a_model_in_ollamas_memory_is_loaded_once_the_user_has_decided(engine, decision, unloaded):
    engine.catalogue.show(replace(LLAMA, running=HELD))
    page = choose(open_page(), "llama:3b")
    assert "in Ollama's memory too" in shown(page)
    assert engine.client.loaded == []

    check(page.button(key=decision).click().run())
    settled(engine, page)
    assert engine.client.loaded == ["llama:3b"]
    assert engine.ollama.unloaded == unloaded
    with pytest.raises(KeyError):
        page.button(key=decision)


def test_a_question_may_be_asked_without_deciding(engine):
    engine.catalogue.show(replace(LLAMA, running=HELD))
    page = choose(open_page(), "llama:3b")
    ask(page, "1?")
    wait_for_answer(page)
    assert engine.client.asked[0]["model"] == ModelChoice("llama:3b")


def test_a_model_that_went_away_stays_chosen_and_is_named(engine, page):
    choose(page, "llama:3b")
    engine.catalogue.show()
    check(page.run())

    assert page.selectbox(key="setting_model").value == "llama:3b"
    assert "not among the models" in shown(page)
    assert "No answers" in badge(page)
