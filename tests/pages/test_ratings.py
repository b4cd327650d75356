"""What readers say of an answer, in more than one tab."""

from __future__ import annotations

import pytest

from tests.pages.steps import ask, check, open_page, wait_for_answer
from utils.experiments.ratings import Rating, load_rating

pytestmark = pytest.mark.usefixtures("browser")


@pytest.fixture
def answered(page):
    """A chat with an answer that nobody has rated."""
    ask(page, "1?")
    return wait_for_answer(page)


def rate(page, part, value):
    """Say one thing of the only answer; return what it is called."""
    job_id = page.session_state["conversation"].turns[0].job_id
    page.feedback(key=f"{part}_{job_id}").set_value(value)
    check(page.run())
    return job_id


def test_what_one_tab_says_leaves_alone_what_another_one_said(answered, database):
    other = open_page(chat=answered.query_params["chat"])
    rate(answered, "thumb", 1)
    job_id = rate(other, "speed", 3)
    assert load_rating(database, job_id) == Rating(thumb=True, speed=4)

    rate(answered, "thumb", None)
    assert load_rating(database, job_id) == Rating(speed=4)
    rate(other, "speed", None)
    assert load_rating(database, job_id) == Rating()
