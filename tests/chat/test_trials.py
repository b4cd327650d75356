from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from config import Settings
from tests.chat.stand_in import EMBEDDED_ENTRY
from utils.chat.trials import TrialBoard
from utils.llama.probe import ProbeVerdict

TALE = replace(EMBEDDED_ENTRY, name="tale", fitness="untried")
OTHER = replace(TALE, name="other")


@pytest.fixture
def probed(monkeypatch):
    """Counts trials, and those at the same time; each waits for `may_end`."""

    class Probed:
        def __init__(self):
            self.names = []
            self.at_once = self.most_at_once = 0
            self.may_end, self.has_begun = threading.Event(), threading.Event()

        def __call__(self, path, *, cache_folder):
            self.names.append(str(path))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.has_begun.set()
            self.may_end.wait(10)
            self.at_once -= 1
            return ProbeVerdict(usable=False, reason="it took too long")

    probe = Probed()
    monkeypatch.setattr("utils.chat.trials.probe_model", probe)
    return probe


def wait_for(engine, trials, *names):
    while any(trials.is_running(name) for name in names):
        engine.call(engine.catalogue.refresh(max_age_s=1)).result(5)


def test_a_trial_tells_why_it_told_nothing_and_has_the_models_read_again(engine, probed):
    trials = TrialBoard()
    trials.start(TALE, Settings(), engine)
    assert probed.has_begun.wait(10)
    assert trials.is_running("tale")
    probed.may_end.set()
    wait_for(engine, trials, "tale")

    assert trials.reason("tale") == "it took too long"
    assert engine.catalogue.refreshed == 1


def test_a_model_is_tried_once_however_often_it_is_asked_for(engine, probed):
    trials = TrialBoard()
    for _ in range(3):
        trials.start(TALE, Settings(), engine)
    probed.may_end.set()
    wait_for(engine, trials, "tale")
    assert len(probed.names) == 1


def test_one_model_is_tried_at_a_time(engine, probed):
    trials = TrialBoard()
    trials.start(TALE, Settings(), engine)
    trials.start(OTHER, Settings(), engine)
    assert probed.has_begun.wait(10)
    assert trials.is_running("other")
    # Threads begin in the order in which they were asked for.
    engine.call(asyncio.to_thread(int)).result(5)
    assert len(probed.names) == 1
    probed.may_end.set()
    wait_for(engine, trials, "tale", "other")
    assert (len(probed.names), probed.most_at_once) == (2, 1)
