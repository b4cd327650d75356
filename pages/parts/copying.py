"""A button that copies a text as it was written, in one click.

The text goes to the browser as data; no markup is ever made of it.
"""

from __future__ import annotations

import streamlit as st

HTML = """
<button type="button" title="Copy this answer as it was written" aria-label="Copy">
  <svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true" fill="none"
    stroke="currentColor" stroke-width="2" stroke-linejoin="round" stroke-linecap="round">
    <path class="copy" d="M9 9h11v11H9zM5 15H4V4h11v1" />
    <path class="done" d="M5 12.5l5 5L19.5 7" />
  </svg>
  <span role="status"></span>
</button>
"""
CSS = """
button {
  all: unset;
  box-sizing: border-box;
  display: inline-flex;
  align-items: center;
  gap: 0.35rem;
  min-height: 2.5rem;
  min-width: 2rem;
  justify-content: center;
  cursor: pointer;
  color: var(--st-text-color);
  font: 0.875rem var(--st-font);
  border-radius: var(--st-button-radius);
}
button:hover { color: var(--st-link-color); }
button:focus-visible { outline: 2px solid var(--st-link-color); }
.done, button[data-done] .copy { display: none; }
button[data-done] .done { display: inline; }
"""
# The clipboard is there for secure pages only; others select the text and have it copied.
JS = """
async function copy(text) {
  if (navigator.clipboard?.writeText) {
    try {
      await navigator.clipboard.writeText(text)
      return true
    } catch {}
  }
  const area = document.createElement("textarea")
  area.value = text
  area.style.position = "fixed"
  area.style.opacity = "0"
  document.body.append(area)
  area.select()
  const done = document.execCommand("copy")
  area.remove()
  return done
}

export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button")
  const said = parentElement.querySelector("span")
  if (!button || !said) return
  let waiting = 0
  button.onclick = async () => {
    const done = await copy(data.text)
    said.textContent = done ? "Copied" : "Not copied: the browser refused"
    button.toggleAttribute("data-done", done)
    clearTimeout(waiting)
    waiting = setTimeout(() => {
      said.textContent = ""
      button.removeAttribute("data-done")
    }, 2000)
  }
}
"""
_button = st.components.v2.component("copy_button", html=HTML, css=CSS, js=JS)


def draw_copy_button(text: str, *, key: str) -> None:
    """Draw a button that copies `text`."""
    # Streamlit allows no `__` in the key of a component, and random ids may have it.
    key = key.replace("_", "-")
    _button(data={"text": text}, key=key, width="content", height="content")
