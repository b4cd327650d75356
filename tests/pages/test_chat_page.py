from __future__ import annotations

from datetime import UTC, datetime

import pytest
import streamlit as st

from config import get_settings
from tests.chat.stand_in import BASELINE, READY, Gate, finished, round_of, script
from tests.pages.steps import ask, check, draw_all, job_of, open_page, shown, wait_for_answer
from utils.chat.shelf import get_shelf
from utils.draft_ranking import RankedDraft
from utils.engine.health import EngineHealth
from utils.errors import EngineCrashedError, ModelFileError
from utils.events import Mode, Queued, Started
from utils.pulls import PullSnapshot
from utils.startup import StartupSnapshot


def test_an_empty_chat_invites_with_examples(page):
    assert page.title[0].value == "Ask, and watch it draft"
    examples = [button for button in page.button if str(button.key).startswith("example_")]
    assert len(examples) >= 4


def test_a_click_on_an_example_asks_it(engine, page):
    example = next(button for button in page.button if str(button.key).startswith("example_"))
    check(example.click().run())
    wait_for_answer(page)

    assert engine.client.asked[0]["messages"][-1].content == example.label
    assert "Hello there." in shown(page)
    assert not page.title


def test_a_question_is_answered_with_its_figures(engine, page):
    engine.client.scripts.append(script(["Good", " day"], ["."]))
    ask(page, "Hello?")
    wait_for_answer(page)

    assert [text.value for text in page.text][:1] == ["Hello?"]
    assert "Good day." in shown(page)
    (line,) = [e.label for e in page.expander if "tokens/s" in e.label]
    assert "accepted" in line
    assert len(charts(page)) == 2


def charts(page):
    """Return the charts that are seen: one that moves has another beneath."""
    return [chart for chart in page.get("plotly_chart") if "live_lower" not in chart.proto.id]


def test_settings_reach_the_engine(engine, page):
    page.toggle(key="setting_enabled").set_value(False)
    page.slider(key="setting_temperature").set_value(0.0)
    page.number_input(key="setting_seed").set_value(11)
    page.number_input(key="setting_max_tokens").set_value(33)
    page.text_area(key="setting_system_prompt").set_value("Be brief.")
    page.text_area(key="setting_stop").set_value("END\n\nSTOP")
    page.selectbox(key="setting_verifier").select("block")
    page.toggle(key="setting_lookup_earlier").set_value(False)
    draw_all(page)
    ask(page, "Hello?")
    wait_for_answer(page)

    asked = engine.client.asked[0]
    assert not asked["speculative"].enabled
    assert asked["speculative"].verifier == "block"
    assert not asked["speculative"].lookup_earlier
    assert asked["sampling"].is_greedy
    assert (asked["sampling"].seed, asked["sampling"].max_tokens) == (11, 33)
    assert asked["sampling"].stop == ("END", "STOP")
    assert asked["messages"][0].content == "Be brief."


def test_a_wrong_setting_is_explained_and_nothing_is_asked(engine, page):
    page.text_area(key="setting_stop").set_value("x" * 200)
    ask(page, "Hello?")

    assert "Stop is not valid" in page.toast[0].value
    assert engine.client.asked == []


def test_no_click_disturbs_a_running_answer(engine, page):
    gate, first = Gate(), round_of(["Good"], drafted=2)
    engine.client.scripts.append([Started(3, 0, 1, BASELINE), first, gate, finished([first])])
    ask(page, "Hello?")
    assert gate.reached.wait(10)

    check(page.toggle(key="setting_show_sources").set_value(True).run())
    check(page.slider(key="setting_temperature").set_value(0.1).run())
    assert job_of(page).snapshot().is_active

    gate.opened.set()
    wait_for_answer(page)
    assert len(engine.client.asked) == 1


def test_a_question_during_an_answer_goes_back_into_the_input(engine, page):
    gate = Gate()
    engine.client.scripts.append([gate, *script(["one"])])
    ask(page, "1?")
    assert gate.reached.wait(10)
    ask(page, "2?")

    assert "still being written" in page.toast[0].value
    assert page.chat_input[0].proto.value == "2?"
    gate.opened.set()
    wait_for_answer(page)
    assert len(engine.client.asked) == 1


def test_stop_keeps_the_partial_answer(engine, page):
    gate = Gate()
    engine.client.scripts.append([Started(3, 0, 1, BASELINE), round_of(["Half"], drafted=2), gate])
    ask(page, "Hello?")
    assert gate.reached.wait(10)
    check(page.button(key="stop").click().run())
    wait_for_answer(page)

    assert "Half" in shown(page)
    assert any("stopped" in element.label for element in page.expander)
    gate.opened.set()


def test_there_is_nothing_to_stop_without_a_running_answer(page):
    with pytest.raises(KeyError):
        page.button(key="stop")


def test_regenerate_writes_the_last_answer_again(engine, page):
    engine.client.scripts += [script(["one"]), script(["two"])]
    ask(page, "1?")
    wait_for_answer(page)
    check(page.button(key="again").click().run())
    wait_for_answer(page)

    assert "two" in shown(page)
    assert len(page.session_state["conversation"].turns) == 1


def test_new_chat_leaves_a_running_answer_alone_and_its_address_finds_it_again(engine, page):
    gate = Gate()
    engine.client.scripts.append([gate, *script(["one"])])
    ask(page, "1?")
    assert gate.reached.wait(10)
    address, job = page.query_params["chat"], job_of(page)
    check(page.button(key="new_chat").click().run())
    assert page.title
    assert "chat" not in page.query_params

    gate.opened.set()
    assert job.wait(10)
    assert "one" in shown(open_page(chat=address))


def test_a_second_tab_on_the_same_address_sees_the_running_answer(browser, engine, page):
    gate, first = Gate(), round_of(["Good"], drafted=2)
    engine.client.scripts.append([Started(3, 0, 1, BASELINE), first, gate, finished([first])])
    ask(page, "Hello?")
    assert gate.reached.wait(10)

    second = open_page(chat=page.query_params["chat"])

    assert "Good" in shown(second)
    assert second.button(key="stop")
    gate.opened.set()
    assert job_of(page).wait(10)


def test_another_session_sees_nothing_of_a_conversation(engine, page):
    engine.client.scripts.append(script(["secret-canary"]))
    ask(page, "1?")
    wait_for_answer(page)

    other = open_page()
    assert "secret-canary" not in shown(other)
    assert "secret-canary" not in shown(open_page(chat="guess"))


def test_an_error_is_one_sentence_and_the_next_question_works(engine, page):
    engine.client.scripts += [[EngineCrashedError("the engine died: ask again")], script(["fine"])]
    ask(page, "1?")
    wait_for_answer(page)
    assert [error.value for error in page.error] == ["The engine died: ask again\\."]

    ask(page, "2?")
    wait_for_answer(page)
    assert "fine" in shown(page)


def folds(page):
    return [fold for fold in page.expander if fold.label == "Thought"]


def test_a_thought_is_folded_away_and_the_answer_is_not(engine, page):
    engine.client.scripts.append(script(["<think>\nHm", ", <b>so", ".\n</think>\n\n", "Yes."]))
    ask(page, "1?")
    wait_for_answer(page)
    assert len(folds(page)) == 1
    assert "Thought for" in shown(page)
    assert "Yes." in shown(page)
    assert "Hm" not in shown(page)
    assert "think>" not in shown(page)

    page.session_state[f"thought_{page.session_state['conversation'].turns[0].id}"] = True
    check(page.run())
    assert "Hm, &lt;b>so." in shown(page)


def test_a_fold_that_was_opened_stays_open_when_the_thought_ends(engine, page):
    gate, first = Gate(), round_of(["<think>\nHm"], drafted=0)
    rest = round_of([".\n</think>\n\n", "Yes."], drafted=0)
    engine.client.scripts.append([Started(3, 0, 1, BASELINE), first, gate, rest, finished([first])])
    ask(page, "1?")
    assert gate.reached.wait(10)
    page.session_state[f"thought_{page.session_state['conversation'].turns[0].id}"] = True
    check(page.run())
    assert "Thinking\N{HORIZONTAL ELLIPSIS}" in shown(page)
    assert "Hm" in shown(page)

    gate.opened.set()
    wait_for_answer(page)
    assert "Thinking" not in shown(page)
    assert "Thought for" in shown(page)
    assert "Hm." in shown(page)


def test_with_token_sources_all_the_text_is_shown_as_it_was_written(engine, page):
    engine.client.scripts.append(script(["<think>\nHm.\n</think>\n\n", "Yes."]))
    check(page.toggle(key="setting_show_sources").set_value(True).run())
    ask(page, "1?")
    wait_for_answer(page)
    assert any("&lt;think&gt;" in element.value for element in page.html)
    assert not folds(page)


@pytest.mark.parametrize("shows_sources", [False, True])
def test_a_handover_is_marked_in_the_answer_with_its_reason(engine, page, shows_sources):
    why = "the engine failed: it broke; Ollama (a_b_c) went on from here"
    handover = Mode("standard", None, "it broke", writer="Ollama (a_b_c)", handover=why)
    rounds = [round_of(["It was "], drafted=3), round_of(["dark."], drafted=0)]
    begin = Started(3, 0, 1, BASELINE)
    engine.client.scripts.append([begin, rounds[0], handover, rounds[1], finished(rounds)])
    check(page.toggle(key="setting_show_sources").set_value(shows_sources).run())
    ask(page, "1?")
    wait_for_answer(page)
    captions = [e.value.replace("\\", "").replace("\u2060", "") for e in page.caption]
    assert f"\N{EM DASH} {why} \N{EM DASH}" in captions


def test_the_wait_for_a_server_says_whom_it_is_for(engine, page):
    gate = Gate()
    mode = Mode("standard", None, "", writer="Ollama (demo)")
    engine.client.scripts.append([Started(0, 0, 1, BASELINE), mode, gate])
    ask(page, "1?")
    assert gate.reached.wait(10)
    check(page.run())
    assert "first token of Ollama \\(demo\\)" in shown(page)
    assert not page.get("progress")
    job_of(page).cancel()
    gate.opened.set()


def test_waiting_says_its_place_in_the_queue(engine, page):
    gate = Gate()
    engine.client.scripts.append([Queued(3), gate])
    ask(page, "1?")
    assert gate.reached.wait(10)
    check(page.run())
    assert "number 3 in the queue" in shown(page)
    job_of(page).cancel()
    assert job_of(page).wait(10)
    gate.opened.set()


def test_token_sources_are_drawn_escaped_with_a_legend(engine, page):
    engine.client.scripts.append(script(["<b>", "]"], drafted=1))
    check(page.toggle(key="setting_show_sources").set_value(True).run())
    ask(page, "1?")
    wait_for_answer(page)

    drawn = [element.value for element in page.html]
    assert any("&lt;b&gt;" in html for html in drawn)
    assert any("resampled" in html and "bonus" in html for html in drawn)


def test_no_text_of_model_or_user_is_drawn_as_html(engine, page):
    engine.client.scripts.append(script(["<script>x</script> ![i](http://evil.example/i.png)"]))
    ask(page, "<b>user</b>")
    wait_for_answer(page)

    assert not any(element.allow_html for element in (*page.markdown, *page.caption))
    assert "![" not in shown(page)
    assert page.text[0].value == "<b>user</b>"


@pytest.mark.parametrize(
    ("health", "label"),
    [
        (READY, "Speculative"),
        (EngineHealth(state="loading", live=True, stage="measuring plain decoding"), "Loading"),
        (EngineHealth(state="failed", reason="3 crashes within 60 s"), "Engine failed"),
    ],
)
def test_the_badge_says_the_state_and_why(engine, health, label):
    engine.client.health = health
    page = open_page()
    assert label in shown(page)
    assert (health.stage or health.reason or "drafted by") in shown(page)


def test_the_badge_follows_the_answer_that_is_written(engine, page):
    gate = Gate()
    mode = Mode("standard", None, "draft is missing")
    engine.client.scripts.append([Started(3, 0, 1, BASELINE), mode, gate, *script(["a"])])
    ask(page, "1?")
    assert gate.reached.wait(10)
    check(page.run())
    assert "Standard" in shown(page)
    assert "draft is missing" in shown(page)
    gate.opened.set()
    wait_for_answer(page)


def test_details_open_into_settings_and_charts_of_an_earlier_answer(engine, page):
    for question in ("1?", "2?"):
        ask(page, question)
        wait_for_answer(page)
    earlier = page.session_state["conversation"].turns[0]
    page.session_state[f"details_{earlier.id}"] = True
    check(page.run())

    assert "temperature 0.8, seed 7" in shown(page)
    assert len(charts(page)) == 5


def test_details_of_the_last_answer_show_the_controller_at_work(engine, page):
    engine.client.scripts.append(switched_script())
    ask(page, "1?")
    wait_for_answer(page)
    page.session_state[f"details_{page.session_state['conversation'].turns[0].id}"] = True
    check(page.run())

    assert "Draft length by round" in shown(page)
    assert len(charts(page)) == 3
    assert "At token 2 drafting stopped: it would be slower here" in shown(page)
    assert "At token 3 drafting went on with demo-draft: it is expected to pay" in shown(page)


def switched_script():
    rounds = [round_of(words, drafted=n) for n, words in ((2, ["a", "b"]), (0, ["c"]), (1, ["d"]))]
    off = Mode("standard", "demo-draft", "it would be slower here")
    on = Mode("speculative", "demo-draft", "")
    begin = Started(3, 0, 1, BASELINE)
    return [begin, on, rounds[0], off, rounds[1], on, rounds[2], finished(rounds)]


def test_a_switch_shows_in_the_badge_while_the_answer_is_written(engine, page):
    gate = Gate()
    steps = switched_script()
    engine.client.scripts.append([*steps[:5], gate, *steps[5:]])
    ask(page, "1?")
    assert gate.reached.wait(10)
    check(page.run())
    assert "Standard" in shown(page)
    assert "it would be slower here" in shown(page)
    gate.opened.set()
    wait_for_answer(page)


def test_the_draft_length_is_chosen_by_itself_unless_it_is_fixed(engine, page):
    with pytest.raises(KeyError):
        page.slider(key="setting_max_draft_tokens")
    check(page.button_group(key="setting_draft_length").set_value("fixed").run())
    check(page.slider(key="setting_max_draft_tokens").set_value(3).run())
    ask(page, "1?")
    wait_for_answer(page)
    asked = engine.client.asked[0]["speculative"]
    assert (asked.draft_length, asked.max_draft_tokens) == ("fixed", 3)


@pytest.fixture
def fresh_draft_options():
    st.cache_data.clear()
    yield
    st.cache_data.clear()


@pytest.mark.usefixtures("engine", "fresh_draft_options")
def test_drafts_that_do_not_fit_are_listed_with_the_reason(monkeypatch):
    fit = RankedDraft("fit", "Fit", "usable", "1/9 of the size", rank=1)
    odd = RankedDraft("odd", "Odd", "unfit", "vocabularies differ")
    big = RankedDraft("big", "Big", "too large", "does not fit in memory")
    monkeypatch.setattr("pages.parts.settings.rank_drafts", lambda *_, **__: [fit, big, odd])
    page = open_page()

    assert "1. Fit: 1/9 of the size" in shown(page)
    assert "Odd: vocabularies differ" in shown(page)
    assert "Big: does not fit in memory" in shown(page)
    box = page.selectbox(key="setting_draft_model")
    assert box.options == ["Automatic: Fit", "Fit", "Big: too large now"]


@pytest.mark.usefixtures("engine", "fresh_draft_options")
def test_a_draft_with_little_in_common_is_chosen_with_a_warning(monkeypatch):
    fit = RankedDraft("fit", "Fit", "usable", "1/9 of the size", rank=1)
    odd = RankedDraft("odd", "Odd", "usable", "small", rank=2, warning="31% in common")
    monkeypatch.setattr("pages.parts.settings.rank_drafts", lambda *_, **__: [fit, odd])
    page = open_page()
    assert not page.warning

    check(page.selectbox(key="setting_draft_model").set_value("odd").run())
    assert "31% in common" in page.warning[0].value


@pytest.mark.usefixtures("engine", "fresh_draft_options")
def test_a_target_that_cannot_be_read_leaves_the_page_usable(monkeypatch):
    def fail(*_, **__):
        raise ModelFileError("file is cut off")

    monkeypatch.setattr("pages.parts.settings.rank_drafts", fail)
    assert open_page().chat_input


def test_without_performance_monitoring_there_are_no_charts(engine, monkeypatch):
    monkeypatch.setenv("SPECCHAT_SPECULATIVE__PERFORMANCE_MONITORING", "false")
    get_settings.cache_clear()
    try:
        page = open_page()
        ask(page, "1?")
        wait_for_answer(page)
    finally:
        get_settings.cache_clear()

    assert page.get("plotly_chart") == []
    assert get_shelf().find(page.query_params["chat"]) is not None


def test_the_header_says_what_is_pulled_and_who_answers_meanwhile(engine):
    pull = PullSnapshot("llama3.2:3b", "pulling", datetime.now(UTC), "", 12 * 10**8, 2 * 10**9)
    engine.startup.state = StartupSnapshot(pulls=(pull,), target="llama3.2:3b")
    page = open_page()
    caption = page.caption[1].value.replace("\\", "").replace("\u2060", "")
    assert caption == (
        "Pulling llama3.2:3b: 60%, 1.2 of 2.0 GB; answering with the embedded pair meanwhile"
    )
    engine.startup.state = StartupSnapshot()
    check(page.run())
    assert "Pulling" not in shown(page)


def test_what_a_server_says_is_shown_as_it_is(engine):
    words = "![x](http://evil.example/i.png) <b>"
    pull = PullSnapshot("llama3.2:3b", "failed", datetime.now(UTC), error=words)
    engine.startup.state = StartupSnapshot(pulls=(pull,))
    page = open_page()
    assert "![" not in shown(page)
    assert not any(element.allow_html for element in (*page.markdown, *page.caption))
