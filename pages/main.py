"""Script of the app: which pages there are."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

STYLE = Path(__file__).parent / "parts" / "main.css"
ABOUT = "SpecChat: chat with local models, drafted and verified, measured on this machine."

st.set_page_config(
    page_title="SpecChat",
    page_icon=str(Path(__file__).parent / "parts" / "icon.svg"),
    layout="wide",
    menu_items={"About": ABOUT},
)
st.html(STYLE)
st.navigation(
    [
        st.Page("chat.py", title="Chat", icon=":material/forum:", default=True),
        st.Page("compare.py", title="Compare", icon=":material/flag:"),
        st.Page("experiments.py", title="Experiments", icon=":material/science:"),
        st.Page("performance.py", title="Performance", icon=":material/speed:"),
        st.Page("models.py", title="Models", icon=":material/deployed_code:"),
    ],
    position="top",
).run()
