"""Where the reader looks next: a field just opened, what just began, no sidebar in the way."""

from __future__ import annotations

from uuid import uuid4

import streamlit as st

# A dialog takes the focus for itself once it is there: whoever asks before is not heard.
FOCUS = """
const asked = new WeakSet()

export default function ({ data, parentElement }) {
  if (asked.has(parentElement)) return
  asked.add(parentElement)
  const leave = event => {
    if (event.key !== "Escape") return
    event.stopPropagation()
    document.querySelector(`.st-key-${CSS.escape(data.escape)} button`)?.click()
  }
  let frames = 30
  let heard = null
  const ask = () => {
    const field = document.querySelector(`.st-key-${CSS.escape(data.key)} input`)
    field?.focus()
    field?.select()
    if (data.escape && field && field !== heard) {
      heard?.removeEventListener("keydown", leave)
      field.addEventListener("keydown", leave)
      heard = field
    }
    if ((!field || document.activeElement !== field) && --frames) requestAnimationFrame(ask)
  }
  requestAnimationFrame(ask)
}
"""
# Below this width the sidebar lies over the page. What was asked for once is there again whenever
# the page is come back to.
CLOSE_SIDEBAR = """
const heard = new Set()

export default function ({ data }) {
  if (heard.has(data.asked)) return
  heard.add(data.asked)
  if (!matchMedia("(max-width: 768px)").matches) return
  document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click()
}
"""
BRING_INTO_VIEW = """
const heard = new Set()

export default function ({ data }) {
  if (heard.has(data.asked)) return
  heard.add(data.asked)
  document.querySelector(`.st-key-${CSS.escape(data.key)}`)?.scrollIntoView()
}
"""
# A button that prepares a file is disabled meanwhile, and with it goes the focus of its dialog.
LEAVE_DIALOG = """
let forget = null

export default function () {
  forget?.()
  const leave = event => {
    if (event.key !== "Escape" || document.activeElement !== document.body) return
    document.querySelector('[role="dialog"] button[aria-label="Close"]')?.click()
  }
  document.addEventListener("keydown", leave)
  forget = () => document.removeEventListener("keydown", leave)
  return forget
}
"""
_focus = st.components.v2.component("focus", js=FOCUS)
_close_sidebar = st.components.v2.component("close_sidebar", js=CLOSE_SIDEBAR)
_bring_into_view = st.components.v2.component("bring_into_view", js=BRING_INTO_VIEW)
_leave_dialog = st.components.v2.component("leave_dialog", js=LEAVE_DIALOG)
_LEAVES, _LOOKS = "leaves_sidebar", "looks_at"


def draw_focus(key: str, *, escape: str = "") -> None:
    """Have what is typed next go into the field of a key, once, in place of what it holds.

    Escape in the field clicks the button of the key `escape`, and does nothing else.
    """
    # Streamlit allows no `__` in the key of a component, and random ids may have it.
    name = key.replace("_", "-")
    with st.container(key=f"unseen_focus_{name}", height=1, border=False):
        _focus(data={"key": key, "escape": escape}, key=f"focus-of-{name}", height="content")


def draw_escape() -> None:
    """Have Escape close the dialog that this is in also while nothing has the focus."""
    with st.container(key="unseen_escape", height=1, border=False):
        _leave_dialog(key="escape", height="content")


def leave_sidebar() -> None:
    """Have the sidebar closed at the next drawing, where it covers the page."""
    st.session_state[_LEAVES] = uuid4().hex


def draw_leaving() -> None:
    """Close the sidebar, once each time that was asked for; call it outside of the sidebar."""
    if asked := st.session_state.get(_LEAVES):
        with st.container(key="unseen_leaving", height=1, border=False):
            _close_sidebar(data={"asked": asked}, key="leaving", height="content")


def look_at(key: str) -> None:
    """Have the page scrolled at the next drawing, so that the container of a key is at its top."""
    st.session_state[_LOOKS] = {"key": key, "asked": uuid4().hex}


def draw_looking() -> None:
    """Scroll, once each time that was asked for; call it after what is to be looked at."""
    if asked := st.session_state.get(_LOOKS):
        with st.container(key="unseen_looking", height=1, border=False):
            _bring_into_view(data=asked, key="looking", height="content")
