"""Which browser a page is drawn for."""

from __future__ import annotations

import streamlit as st

from api.browser_cookie import COOKIE, checked_browser_id


def browser_id() -> str:
    """Return the id of the browser's cookie; empty where it has none, or none made here."""
    return checked_browser_id(st.context.cookies.get(COOKIE))
