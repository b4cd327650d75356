from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests

from pages.parts import requests


@pytest.fixture(autouse=True)
def _drawings_are_kept(monkeypatch):
    for name in ("_create_scriptrunner", "_clear_queue"):
        monkeypatch.setattr(AppSession, name, getattr(AppSession, name))
    monkeypatch.setattr(ScriptRunner, "_run_script", ScriptRunner._run_script)
    name = "_request_rerun_locked"
    monkeypatch.setattr(ScriptRequests, name, getattr(ScriptRequests, name))
    requests.keep_drawings()


def end_of_part():
    return ForwardMsg(script_finished=ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


def waiting(session):
    return [message.script_finished for message in session._browser_queue.flush()]


def test_the_end_of_a_part_is_sent_as_it_is_though_another_part_is_drawn_at_once():
    session = SimpleNamespace(_browser_queue=ForwardMsgQueue())
    session._browser_queue.enqueue(end_of_part())
    AppSession._clear_queue(session, ["another"])
    assert waiting(session) == [ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY]


def test_a_part_tells_of_its_end_no_more_once_all_is_drawn():
    session = SimpleNamespace(_browser_queue=ForwardMsgQueue())
    session._browser_queue.enqueue(end_of_part())
    AppSession._clear_queue(session)
    assert waiting(session) == [ForwardMsg.FINISHED_EARLY_FOR_RERUN]


async def test_runs_asked_for_at_the_end_of_another_begin_after_what_that_drew(monkeypatch):
    seen = []
    next_run = SimpleNamespace(request_rerun=lambda wanted: seen.append(f"joined by {wanted}") or 1)

    def start(session, wanted):
        seen.append(wanted)
        session._scriptrunner = next_run

    monkeypatch.setattr(requests, "_start", start)
    session = SimpleNamespace(_scriptrunner=object(), _event_loop=asyncio.get_running_loop())
    session._event_loop.call_soon(seen.append, "what was drawn")
    AppSession._create_scriptrunner(session, "first")
    AppSession._create_scriptrunner(session, "second")
    await asyncio.sleep(0)
    assert seen == ["what was drawn", "first", "joined by second"]


@pytest.mark.parametrize(
    ("wanted", "is_drawn"),
    [
        (RerunData(page_script_hash="models", fragment_id_queue=["pulls"]), False),
        (RerunData(page_script_hash="chat", fragment_id_queue=["answer"]), True),
        (RerunData(page_script_hash="models"), True),
    ],
    ids=["a part of a page that was left", "a part of the page", "another page"],
)
def test_a_part_of_a_page_is_drawn_only_while_that_is_the_page(monkeypatch, wanted, is_drawn):
    drawn = []
    monkeypatch.setattr(requests, "_run", lambda _, wanted: drawn.append(wanted))
    pages = SimpleNamespace(current_page_script_hash="chat")
    ScriptRunner._run_script(SimpleNamespace(_pages_manager=pages), wanted)
    assert bool(drawn) == is_drawn


MODELS = RerunData(page_script_hash="models")
PART_OF_CHAT = RerunData(
    page_script_hash="chat", query_string="chat=1", fragment_id="answer", is_auto_rerun=True
)


def asked_for(*wanted):
    requests = ScriptRequests()
    assert all(requests.request_rerun(one) for one in wanted)
    return requests.on_scriptrunner_ready().rerun_data


@pytest.mark.parametrize(
    "wanted",
    [
        (MODELS, PART_OF_CHAT),
        (PART_OF_CHAT, MODELS),
        (PART_OF_CHAT, MODELS, PART_OF_CHAT, PART_OF_CHAT),
    ],
    ids=["the part last", "the page last", "parts around it"],
)
def test_another_page_is_drawn_though_a_part_of_the_one_before_is_wanted_at_once(wanted):
    drawn = asked_for(*wanted)
    assert (drawn.page_script_hash, drawn.query_string) == ("models", "")
    assert drawn.fragment_id_queue == []


def test_of_two_pages_that_are_wanted_the_last_one_is_drawn():
    compare = RerunData(page_script_hash="compare")
    assert asked_for(MODELS, PART_OF_CHAT, compare).page_script_hash == "compare"


def test_parts_that_are_wanted_at_once_are_all_drawn_and_nothing_else():
    panel = RerunData(page_script_hash="chat", fragment_id="panel")
    drawn = asked_for(PART_OF_CHAT, panel)
    assert drawn.fragment_id_queue == ["answer", "panel"]
    assert drawn.page_script_hash == "chat"
