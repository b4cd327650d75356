"""What an empty chat shows: what this is, and what to try."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.parts.charts import preload_charts

EXAMPLES = {
    "What is speculative decoding?": ":material/bolt:",
    "Write a Python function that reverses a string.": ":material/code:",
    "Count from 1 to 20.": ":material/format_list_numbered:",
    "Tell me a short story about a fox.": ":material/auto_stories:",
}


def draw_welcome(ask: Callable[[str], object]) -> None:
    """Draw the greeting and the examples; a click asks one."""
    st.space("large")
    with st.container(key="welcome", width=720):
        st.title("Ask, and watch it draft", anchor=False)
        st.markdown(
            "A small draft model guesses ahead, the target model checks several guesses in one "
            "pass, and you see how much that gained, measured on this machine."
        )
        st.space("small")
        with st.grid(2, min_column_width=260):
            for question, icon in EXAMPLES.items():
                st.button(
                    question,
                    icon=icon,
                    on_click=ask,
                    args=(question,),
                    width="stretch",
                    key=f"example_{question}",
                )
    preload_charts()
