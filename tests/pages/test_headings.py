from __future__ import annotations

from itertools import pairwise

import pytest
from streamlit.testing.v1.element_tree import HeadingBase

from config import RolloutConfig
from tests.experiments.simulated import experiment
from tests.pages.steps import ask, check, open_page, wait_for_answer
from utils.chat.races import RaceBoard
from utils.experiments.outcomes import save_outcome
from utils.experiments.rollout import load_rollout
from utils.storage.votes import Vote, save_vote

PAGES = ("compare.py", "experiments.py", "models.py", "performance.py")


def levels(page):
    return [int(node.tag.removeprefix("h")) for node in page.main if isinstance(node, HeadingBase)]


def compare(page, board):
    check(page.number_input(key="race_runs").set_value(1).run())
    check(page.button(key="race_start").click().run())
    assert board.find(page.query_params["race"]).wait(10)
    check(page.run())


@pytest.fixture
def board(monkeypatch):
    board = RaceBoard()
    monkeypatch.setattr("utils.chat.races.get_races", lambda: board)
    return board


@pytest.mark.parametrize("name", PAGES)
def test_no_page_leaves_out_a_level_of_headings(engine, browser, database, board, name):
    load_rollout(database, RolloutConfig())
    save_vote(database, Vote("r", "me", 1.0, "m", "a", "standard", "speculative", "A", "B", 1, 2))
    for answer in experiment(1, per_arm=3):
        save_outcome(database, answer)
    page = open_page()
    ask(page, "1?")
    wait_for_answer(page)
    check(page.switch_page(name).run())
    if name == "compare.py":
        compare(page, board)
    found = levels(page)
    assert found[0] == 1
    assert len(found) > 1
    assert all(below <= above + 1 for above, below in pairwise(found)), found
