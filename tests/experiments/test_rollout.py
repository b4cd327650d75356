from __future__ import annotations

import secrets
from dataclasses import replace
from itertools import pairwise

import pytest

from config import RolloutConfig
from utils.errors import RequestError
from utils.experiments.rollout import (
    Decision,
    Rollout,
    begin_experiment,
    change_rollout,
    decide,
    load_rollout,
)
from utils.storage.database import Database

HALF = Rollout(experiment=1, salt="salt", percent=50, is_stopped=False, began_at=0.0)
BROWSERS = [f"browser-{number}" for number in range(10_000)]
SHARES = (0, 5, 20, 50, 80, 100)


def drafting(rollout):
    return {browser for browser in BROWSERS if rollout.enrol(browser).arm == "speculative"}


@pytest.mark.parametrize("percent", SHARES)
def test_the_share_of_browsers_is_the_one_that_was_set(percent):
    # Over 4.5 standard deviations away comes once in 150,000 salts.
    count = len(drafting(replace(HALF, percent=percent)))
    deviation = (len(BROWSERS) * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(count - len(BROWSERS) * percent / 100) <= 4.5 * deviation


def test_an_assignment_that_is_a_little_off_fails_the_test_above():
    # Negative control: two percent too many are nine standard deviations at a share of 5%.
    count = len(drafting(replace(HALF, percent=7)))
    assert count - 500 > 4.5 * (10_000 * 0.05 * 0.95) ** 0.5


def test_a_browser_stays_in_its_arm():
    first = [HALF.enrol(browser) for browser in BROWSERS[:100]]
    assert [HALF.enrol(browser) for browser in BROWSERS[:100]] == first


def test_another_share_moves_only_as_many_browsers_as_it_must():
    arms = [drafting(replace(HALF, percent=percent)) for percent in SHARES]
    assert all(smaller <= larger for smaller, larger in pairwise(arms))


def test_another_experiment_assigns_afresh():
    # Two fair coins agree on 5000 of 10,000; over 225 away, 4.5 deviations, once in 150,000 salts.
    arms = drafting(HALF), drafting(replace(HALF, salt="pepper"))
    agreeing = sum((browser in arms[0]) == (browser in arms[1]) for browser in BROWSERS)
    assert abs(agreeing - 5000) < 225


def test_a_pseudonym_is_not_the_id_and_differs_between_experiments():
    browser = secrets.token_urlsafe(16)
    names = {replace(HALF, salt=salt).enrol(browser).browser for salt in ("a", "b")}
    assert len(names) == 2
    assert all(browser not in name for name in names)


def test_nobody_has_a_part_without_an_experiment_or_without_a_cookie():
    assert replace(HALF, percent=None).enrol("ann") is None
    assert HALF.enrol("") is None


@pytest.mark.parametrize("default", [True, False])
def test_without_an_experiment_the_default_decides(default):
    off = replace(HALF, percent=None)
    assert decide(off, "ann", chosen=None, default=default) == Decision(default, "default")


@pytest.mark.parametrize("chosen", [True, False])
def test_an_own_choice_comes_before_chance_and_is_left_out(chosen):
    assert decide(HALF, "ann", chosen=chosen, default=True) == Decision(chosen, "chosen")


@pytest.mark.parametrize(("percent", "enabled"), [(0, False), (100, True)])
def test_chance_decides_where_nobody_chose(percent, enabled):
    decision = decide(replace(HALF, percent=percent), "ann", chosen=None, default=not enabled)
    assert (decision.enabled, decision.why) == (enabled, "assigned")
    assert decision.enrolment is not None


def test_the_stop_switch_comes_before_everything():
    stopped = replace(HALF, is_stopped=True)
    assert decide(stopped, "ann", chosen=True, default=True) == Decision(False, "stopped")


def test_the_first_opening_takes_the_settings(database):
    rollout = load_rollout(database, RolloutConfig(speculative_percent=30, stopped=True))
    assert (rollout.percent, rollout.is_stopped) == (30, True)


def test_without_settings_no_experiment_runs(database):
    assert load_rollout(database, RolloutConfig()).percent is None


def test_a_change_outlives_the_process(database, config):
    first = load_rollout(database, config)
    change_rollout(database, config, percent=80, is_stopped=True)
    again = Database(database.path)
    kept = load_rollout(again, config)
    again.close()
    assert kept == replace(first, percent=80, is_stopped=True)


def test_settings_that_have_changed_are_the_last_word_once(database, config):
    first = load_rollout(database, config)
    change_rollout(database, config, percent=80, is_stopped=False)
    new = RolloutConfig(speculative_percent=10)
    assert load_rollout(database, new) == replace(first, percent=10)
    change_rollout(database, new, percent=20, is_stopped=False)
    assert load_rollout(database, new).percent == 20


def test_another_experiment_has_another_number_and_salt(database, config):
    first = load_rollout(database, config)
    second = begin_experiment(database, config, percent=50)
    assert second.experiment > first.experiment
    assert second.salt != first.salt
    assert load_rollout(database, config) == second


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_share_that_is_none_is_refused(database, config, percent):
    load_rollout(database, config)
    with pytest.raises(RequestError, match="0 to 100"):
        change_rollout(database, config, percent=percent, is_stopped=False)
    with pytest.raises(RequestError, match="0 to 100"):
        begin_experiment(database, config, percent=percent)
    assert load_rollout(database, config).percent == 50


def test_two_that_find_no_experiment_at_once_begin_one(database, config, monkeypatch):
    first = load_rollout(database, config)

    def read_too_early(*_asked):
        monkeypatch.undo()
        return []

    monkeypatch.setattr(database, "read", read_too_early)
    assert load_rollout(database, config) == first


@pytest.fixture
def elsewhere(database):
    """The database as another app on the same folder has it open."""
    opened = Database(database.path)
    yield opened
    opened.close()


OTHERS = RolloutConfig(speculative_percent=10)


def test_two_apps_with_other_settings_do_not_overwrite_each_other(database, elsewhere, config):
    load_rollout(database, config)
    assert load_rollout(elsewhere, OTHERS).percent == 10
    change_rollout(database, config, percent=80, is_stopped=False)
    for _ in range(2):
        assert load_rollout(elsewhere, OTHERS).percent == 80
        assert load_rollout(database, config).percent == 80


def test_the_stop_of_one_app_holds_for_all(database, elsewhere, config):
    load_rollout(database, config)
    load_rollout(elsewhere, OTHERS)
    change_rollout(database, config, percent=50, is_stopped=True)
    assert load_rollout(elsewhere, OTHERS).is_stopped
    assert load_rollout(database, config).is_stopped


def test_an_app_that_starts_with_other_settings_ends_no_stop(database, elsewhere, config):
    load_rollout(database, config)
    change_rollout(database, config, percent=50, is_stopped=True)
    assert load_rollout(elsewhere, OTHERS).is_stopped
    change_rollout(elsewhere, OTHERS, percent=10, is_stopped=False)
    assert not load_rollout(database, config).is_stopped


def test_an_app_that_is_started_to_stop_stops_all(database, elsewhere, config):
    load_rollout(database, config)
    load_rollout(elsewhere, RolloutConfig(speculative_percent=50, stopped=True))
    assert load_rollout(database, config).is_stopped
