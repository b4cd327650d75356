"""Which browser a page is drawn for, and what the time is there."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import streamlit as st

from api.browser_cookie import COOKIE, checked_browser_id


def browser_id() -> str:
    """Return the id of the browser's cookie; empty where it has none, or none made here."""
    return checked_browser_id(st.context.cookies.get(COOKIE))


def time_zone() -> tzinfo:
    """Return the time zone of the browser, where it tells one that is known here."""
    with suppress(ValueError, OSError, TypeError):
        return ZoneInfo(st.context.timezone or "")
    return UTC
