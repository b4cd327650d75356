"""Whether the next answer is drafted: by the user's own choice, by an experiment, or by default."""

from __future__ import annotations

import logging
from typing import cast

import streamlit as st

from config import get_settings
from pages.parts import browser, session
from pages.parts.sampling import PREFIX
from utils.errors import StorageError
from utils.experiments.rollout import Decision, Rollout, decide, load_rollout
from utils.storage import database
from utils.storage.preferences import load_preference, save_preference

ENABLED = PREFIX + "enabled"
PREFERENCE = "own_drafting"
NO_EXPERIMENT = Rollout(experiment=0, salt="", percent=None, is_stopped=False, began_at=0.0)
_CHOSEN = "own_drafting"

logger = logging.getLogger(__name__)


def settle_assignment() -> None:
    """Put the switch of drafting where it belongs; call it before the switch is drawn."""
    st.session_state[ENABLED] = next_decision().enabled


def next_decision() -> Decision:
    """Say whether the next answer is drafted, as things are now."""
    return decide(
        current_rollout(),
        browser.browser_id(),
        chosen=own_choice(),
        default=get_settings().speculative.enabled,
    )


def decide_answer(*, can_draft: bool) -> Decision:
    """Decide about an answer that is asked for now.

    It is no part of an experiment where nothing can be drafted, and in a temporary chat.
    """
    decision = next_decision()
    if can_draft and not session.open_conversation().is_temporary:
        return decision
    return Decision(decision.enabled, decision.why)


def current_rollout() -> Rollout:
    """Return the present experiment; none where it cannot be read."""
    try:
        return load_rollout(database.get_database(), get_settings().rollout)
    except StorageError as error:
        logger.warning("no experiment is known: %s", error)
        return NO_EXPERIMENT


def own_choice() -> bool | None:
    """Return whether the user wants drafts; None where the switch was never used."""
    if _CHOSEN not in st.session_state:
        st.session_state[_CHOSEN] = _kept_choice()
    return cast("bool | None", st.session_state[_CHOSEN])


def take_own_choice() -> None:
    """Take the switch as the user's own choice, from now on and at the next visit."""
    choose(enabled=bool(st.session_state[ENABLED]))


def choose(*, enabled: bool | None) -> None:
    """Decide for this browser, whatever chance said; None leaves it to chance again."""
    st.session_state[_CHOSEN] = enabled
    known = browser.browser_id()
    if not known:
        return
    try:
        save_preference(database.get_database(), known, PREFERENCE, enabled)
    except StorageError as error:
        session.leave_notice(f"the choice holds for this visit only: {error}")


def draw_note(decision: Decision) -> None:
    """Say under the switch that it is an experiment that decides, where it is."""
    if decision.why == "stopped":
        st.caption("Drafting is stopped for everyone; the page Experiments allows it again.")
    elif decision.why == "assigned":
        st.caption(
            "An experiment chose this by chance. Your own choice comes first, and leaves your "
            "answers out of it."
        )


def _kept_choice() -> bool | None:
    known = browser.browser_id()
    try:
        kept = load_preference(database.get_database(), known, PREFERENCE) if known else None
    except StorageError:
        return None
    return kept if isinstance(kept, bool) else None
