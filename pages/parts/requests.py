"""Requests of a browser to draw: each is seen, also where the next comes at the same moment.

Streamlit 1.67 loses what was drawn and is not sent yet when the next part of the page is drawn.
While an answer is written that is several times a second: clicks would have no effect. And it
takes a part that was to be drawn again for a return to its page, where another page came between:
the browser would be left with neither. Where both wait at once, it draws the page of the part:
the click on the other one is lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import (
    ScriptRequests,
    ScriptRequestType,
)

_start: Any = AppSession._create_scriptrunner
_clear: Any = AppSession._clear_queue
_run: Any = ScriptRunner._run_script
_request: Any = ScriptRequests._request_rerun_locked
_PLACE = ("page_script_hash", "page_name", "query_string")


def keep_drawings() -> None:
    """Have all that was drawn sent, whatever is drawn next; call it before the app is made."""
    for owner, name, better in (
        (AppSession, "_create_scriptrunner", _start_after_last),
        (AppSession, "_clear_queue", _clear_all),
        (ScriptRunner, "_run_script", _run_on_page),
        (ScriptRequests, "_request_rerun_locked", _request_on_page),
    ):
        setattr(owner, name, better)


def _start_after_last(session: Any, wanted: Any) -> None:
    """Start a run, after the last one's messages: those of a run that is replaced are dropped."""
    ended = session._scriptrunner

    def start() -> None:
        current = session._scriptrunner
        if current is None or current is ended:
            _start(session, wanted)
        elif not current.request_rerun(wanted):
            _start_after_last(session, wanted)

    if ended is None:
        start()
    else:
        session._event_loop.call_soon(start)


def _clear_all(session: Any, fragments: list[str] | None = None) -> None:
    """Drop what waits for the browser before all is drawn, and nothing before a part is drawn.

    The end of another part, dropped, would leave in view what is no longer there.
    """
    if fragments:
        # What is drawn now comes after what waits, and not in its place.
        session._browser_queue._delta_index_map = {}
    else:
        _clear(session, fragments)


def _run_on_page(runner: Any, wanted: Any) -> None:
    """Draw what is wanted, except for a part of a page that was left meanwhile."""
    shown = runner._pages_manager.current_page_script_hash
    if not wanted.fragment_id_queue or wanted.page_script_hash == shown:
        _run(runner, wanted)


def _request_on_page(requests: Any, wanted: Any) -> bool:
    """Take what is wanted; a part of another page than the one that waits leaves that its place."""
    waiting = requests._rerun_data
    is_page = requests._state is ScriptRequestType.RERUN and not waiting.fragment_id_queue
    if is_page and wanted.fragment_id and waiting.page_script_hash:
        wanted = replace(wanted, **{name: getattr(waiting, name) for name in _PLACE})
    return bool(_request(requests, wanted))
