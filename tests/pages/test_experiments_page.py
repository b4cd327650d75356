from __future__ import annotations

from dataclasses import replace

import pytest

from config import RolloutConfig
from tests.chat.stand_in import Gate, script
from tests.experiments.simulated import experiment, outcome
from tests.pages.steps import ask, check, draw_all, open_page, shown, wait_for_answer
from utils.errors import StorageError
from utils.experiments import outcomes
from utils.experiments.outcomes import list_outcomes, save_outcome
from utils.experiments.ratings import Rating, load_rating
from utils.experiments.rollout import change_rollout, load_rollout
from utils.storage.votes import Vote, save_vote

CONFIG = RolloutConfig()
TOGGLE = "setting_enabled"


def run_experiment(database, percent, *, is_stopped=False):
    load_rollout(database, CONFIG)
    return change_rollout(database, CONFIG, percent=percent, is_stopped=is_stopped)


def open_experiments():
    return check(open_page().switch_page("experiments.py").run())


def kept(database):
    outcomes._writer().submit(int).result(10)
    return list_outcomes(database, 1)


def enabled(engine):
    return [asked["speculative"].enabled for asked in engine.client.asked]


@pytest.mark.parametrize(("percent", "drafts"), [(0, False), (100, True)])
def test_chance_puts_the_switch_and_counts_the_answer(engine, browser, database, percent, drafts):
    run_experiment(database, percent)
    page = open_page()
    assert page.toggle(key=TOGGLE).value is drafts
    assert "An experiment chose this by chance" in shown(page)

    ask(page, "1?")
    wait_for_answer(page)
    assert enabled(engine) == [drafts]
    assert [found.arm for found in kept(database)] == ["speculative" if drafts else "standard"]


def test_the_users_own_switch_comes_first_and_leaves_the_answers_out(engine, browser, database):
    run_experiment(database, 0)
    page = open_page()
    page.toggle(key=TOGGLE).set_value(True)
    draw_all(page)
    assert "An experiment chose this" not in shown(page)
    ask(page, "1?")
    wait_for_answer(page)
    assert enabled(engine) == [True]
    assert kept(database) == []

    again = open_page()
    assert again.toggle(key=TOGGLE).value, "the choice is there at the next visit"
    page = check(again.switch_page("experiments.py").run())
    assert "by your own choice" in shown(page)
    check(page.button(key="follow_experiment").click().run())
    assert "This browser does not draft, by chance" in shown(page)
    assert not open_page().toggle(key=TOGGLE).value


def test_without_a_cookie_nobody_is_assigned(engine, database):
    run_experiment(database, 0)
    page = open_page()
    assert page.toggle(key=TOGGLE).value
    ask(page, "1?")
    wait_for_answer(page)
    assert kept(database) == []


def test_a_temporary_chat_is_left_out(engine, browser, database):
    run_experiment(database, 0)
    page = open_page()
    check(page.menu_button(key="icon_only_chats").click("New temporary chat").run())
    ask(page, "1?")
    wait_for_answer(page)
    assert enabled(engine) == [False], "the switch shows what is done"
    assert kept(database) == []
    assert not page.feedback


def test_the_stop_switch_holds_from_the_next_answer_of_an_open_page(engine, browser, database):
    run_experiment(database, 100)
    page = open_page()
    check(page.toggle(key=TOGGLE).set_value(True).run())
    experiments = open_experiments()
    check(experiments.button(key="stop_drafting").click().run())
    assert "Drafting is stopped" in shown(experiments)

    ask(page, "1?")
    wait_for_answer(page)
    assert enabled(engine) == [False]
    assert page.toggle(key="cannot_speculate").disabled
    assert "Drafting is stopped for everyone" in shown(page)

    check(experiments.button(key="allow_drafting").click().run())
    ask(page, "2?")
    wait_for_answer(page)
    assert enabled(engine) == [False, True]


def test_a_running_answer_is_not_touched_by_the_stop_switch(engine, browser, database):
    gate = Gate()
    engine.client.scripts.append([gate, *script(["Hello"])])
    page = open_page()
    ask(page, "1?")
    assert gate.reached.wait(10)
    check(open_experiments().button(key="stop_drafting").click().run())
    gate.opened.set()
    wait_for_answer(page)
    assert "Hello" in shown(page)


def test_the_page_starts_an_experiment_and_sets_its_share(engine, browser, database):
    page = open_experiments()
    assert "No experiment runs" in shown(page)
    check(page.toggle(key="experiment_runs").set_value(True).run())
    assert load_rollout(database, CONFIG).percent == 50
    check(page.slider(key="experiment_percent").set_value(30).run())
    assert load_rollout(database, CONFIG).percent == 30
    assert "about 30" in shown(page)
    check(page.toggle(key="experiment_runs").set_value(False).run())
    assert load_rollout(database, CONFIG).percent is None


def test_a_change_leaves_alone_what_another_tab_changed(engine, browser, database):
    run_experiment(database, 50)
    first, second = open_experiments(), open_experiments()
    check(first.button(key="stop_drafting").click().run())
    check(second.slider(key="experiment_percent").set_value(80).run())
    now = load_rollout(database, CONFIG)
    assert (now.percent, now.is_stopped) == (80, True)


def test_a_new_experiment_begins_at_zero_and_keeps_the_old_figures(engine, browser, database):
    run_experiment(database, 50)
    save_outcome(database, outcome())
    page = open_experiments()
    assert page.table
    check(page.button(key="begin_experiment").click().run())
    assert "No answers yet" in page.info[0].value
    assert not page.table
    assert len(kept(database)) == 1


def test_figures_are_shown_by_arm_with_a_verdict(engine, browser, database):
    run_experiment(database, 50)
    for answer in experiment(1, per_arm=8, effect=2.0, between=0.1):
        save_outcome(database, answer)
    page = open_experiments()
    assert "Drafting makes answers faster" in page.success[0].value
    table = page.table[0].value
    assert list(table.columns) == ["Standard", "Speculative", "Speculative against standard"]
    assert table.loc["Browsers", "Standard"] == "8"
    assert len(page.get("plotly_chart")) == 2


def test_one_model_can_be_looked_at_alone(engine, browser, database):
    run_experiment(database, 50)
    save_outcome(database, outcome("a"))
    save_outcome(database, replace(outcome("b"), model="tale:3b"))
    page = open_experiments()
    assert page.table[0].value.loc["Answers", "Standard"] == "2"
    check(page.selectbox(key="experiment_model").select("tale:3b").run())
    assert page.table[0].value.loc["Answers", "Standard"] == "1"


def test_the_votes_of_blind_comparisons_are_told(engine, browser, database):
    sides = ("standard", "speculative", "Standard", "Speculative", 50.0, 60.0)
    save_vote(database, Vote("r", "o", 0.0, "m", "b", *sides))
    assert "1 blind vote in Compare: 1 for speculative" in shown(open_experiments())


def test_a_rating_is_kept_shown_again_and_counted(engine, browser, database):
    run_experiment(database, 100)
    page = open_page()
    ask(page, "1?")
    page = wait_for_answer(page)
    job_id = page.session_state["conversation"].turns[0].job_id
    rate(page, job_id, thumb=1, speed=3)
    assert load_rating(database, job_id) == Rating(thumb=True, speed=4)
    (found,) = kept(database)
    assert (found.thumb, found.speed) == (True, 4)

    again = open_page(chat=page.query_params["chat"])
    assert again.session_state[f"thumb_{job_id}"] == 1
    assert again.session_state[f"speed_{job_id}"] == 3
    rate(again, job_id, thumb=None, speed=None)
    assert load_rating(database, job_id) == Rating()


def rate(page, job_id, *, thumb, speed):
    page.feedback(key=f"thumb_{job_id}").set_value(thumb)
    page.feedback(key=f"speed_{job_id}").set_value(speed)
    check(page.run())


def test_a_disk_that_fails_is_explained_and_the_chat_goes_on(engine, browser, monkeypatch):
    def fail():
        raise StorageError("the disk is full")

    monkeypatch.setattr("utils.storage.database.get_database", fail)
    page = open_page()
    ask(page, "1?")
    wait_for_answer(page)
    assert "Hello there." in shown(page)
    experiments = check(page.switch_page("experiments.py").run())
    assert "the disk is full" in experiments.error[0].value
