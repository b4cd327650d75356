"""The models: what there is and where it runs, pulled by name, tried, unloaded and deleted."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from config import get_settings
from pages.parts import session
from pages.parts.draft_table import draw_draft_table
from pages.parts.model_deletion import draw_deletion
from pages.parts.model_list import draw_models, draw_ollama
from pages.parts.model_pulls import draw_pulls
from utils.chat.model_wording import folder_name
from utils.model_store import ModelStore

PAGE_WIDTH = 960
STYLE = Path(__file__).parent / "parts" / "models.css"


def draw_places() -> None:
    """Draw where models come from, where the chat has its sidebar too."""
    settings = get_settings()
    own_folders = [folder_name(folder) for folder in settings.model_folders]
    with st.sidebar:
        for title, places in (
            ("Ollama listens at", [settings.ollama_url]),
            ("Its files are looked for in", map(folder_name, ModelStore(settings).folders)),
            ("Folders of GGUF files", own_folders or ["none is set"]),
        ):
            with st.container(gap="xxsmall", key=f"places_{title}"):
                st.caption(title)
                for place in places:
                    st.text(place)


st.html(STYLE)
draw_places()
with (
    st.container(horizontal_alignment="center"),
    st.container(key="models_page", width=PAGE_WIDTH, gap="medium"),
):
    st.title("Models", anchor=False)
    draw_ollama()
    draw_pulls()
    draw_models()
    draw_draft_table()
draw_deletion()
session.show_notice()
