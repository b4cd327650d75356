"""The values of the settings: where they come from, what was changed, and what is kept of that."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st

from config import AUTO, SamplingParams, get_settings
from pages.parts import assignment, browser, model_choice, session
from pages.parts.sampling import (
    PENALISED,
    PREFIX,
    SAMPLED,
    WRITTEN,
    sampling_values,
    setting_value,
    widget_value,
)
from utils.backends.protocol import ModelChoice
from utils.chat.presets import Values, sound_values
from utils.chat.targets import Target
from utils.errors import StorageError
from utils.storage import database
from utils.storage.preferences import load_preference, save_preference

SPECULATED = (
    "enabled",
    "draft_model",
    "draft_length",
    "max_draft_tokens",
    "verifier",
    "lookup_earlier",
)
ASKED = (*SAMPLED, *PENALISED, *WRITTEN, *SPECULATED, "system_prompt")
PREFERENCE = "settings"
_DEFAULTS_OF = "defaults_of"
_RESTORED, _KEPT = "settings_restored", "settings_kept"


def value(name: str) -> Any:
    """Return what the widget of a setting holds."""
    return st.session_state[PREFIX + name]


def read_values() -> Values:
    """Return all that decides an answer, as it stands."""
    set_defaults()
    target = model_choice.current_target()
    asked = {name: setting_value(name, value(name)) for name in ASKED}
    return {**asked, "model": target.name, "backend": target.backend}


def apply_values(values: Values) -> None:
    """Put values into the widgets, as a user would; a model among them is loaded."""
    set_defaults()
    if name := values.get("model"):
        model_choice.take_choice(ModelChoice(name, values.get("backend", "auto")), loads=True)
        target = model_choice.current_target()
        # What the model wants of sampling must not come over what was just put in.
        st.session_state[_DEFAULTS_OF] = (target.name, target.sampling(get_settings()))
    for name in ASKED:
        if name in values:
            st.session_state[PREFIX + name] = widget_value(name, values[name])
    if "enabled" in values:
        assignment.choose(enabled=values["enabled"])


def set_defaults() -> None:
    """Give a value to what has none yet: what was kept of the last visit, or the default."""
    _restore()
    kept = cast("Values", st.session_state[_RESTORED])
    for name, default in _defaults(get_settings().sampling).items():
        chosen = widget_value(name, kept[name]) if name in kept else default
        st.session_state.setdefault(PREFIX + name, chosen)


def take_defaults(target: Target) -> None:
    """Take over what a newly chosen model wants: its sampling, and a draft that suits it."""
    set_defaults()
    sampling = target.sampling(get_settings())
    wanted = (target.name, sampling)
    if target.entry is None or st.session_state.get(_DEFAULTS_OF) == wanted:
        return
    is_first = _DEFAULTS_OF not in st.session_state
    st.session_state[_DEFAULTS_OF] = wanted
    kept = cast("Values", st.session_state[_RESTORED]) if is_first else {}
    for name, default in sampling_values(sampling).items():
        chosen = widget_value(name, kept[name]) if name in kept else default
        st.session_state[PREFIX + name] = chosen
    if not is_first:
        st.session_state[PREFIX + "draft_model"] = AUTO


def keep_values() -> None:
    """Keep what differs from the defaults, for the next visit of this browser."""
    target = model_choice.current_target()
    known = browser.browser_id()
    if not known or target.entry is None:
        return
    changed = _changed(target)
    if changed == st.session_state.get(_KEPT):
        return
    st.session_state[_KEPT] = changed
    try:
        save_preference(database.get_database(), known, PREFERENCE, changed)
    except StorageError as error:
        session.leave_notice(f"the settings are not kept: {error}")


def _changed(target: Target) -> Values:
    defaults = _defaults(target.sampling(get_settings()))
    changed: Values = {
        name: setting_value(name, value(name))
        for name, default in defaults.items()
        # Drafting may be on by chance: what was chosen of it is kept by itself.
        if value(name) != default and name != "enabled"
    }
    if model_choice.is_chosen():
        changed |= {"model": target.name, "backend": target.backend}
    return changed


def _defaults(sampling: SamplingParams) -> Values:
    speculative = get_settings().speculative
    return {
        **sampling_values(sampling),
        **{name: getattr(speculative, name) for name in SPECULATED},
        "system_prompt": "",
        "show_sources": False,
    }


def _restore() -> None:
    """Take up what this browser had changed when it was last here, once in a session."""
    if _RESTORED in st.session_state:
        return
    kept: Values = {}
    if known := browser.browser_id():
        try:
            kept = sound_values(load_preference(database.get_database(), known, PREFERENCE))
        except StorageError as error:
            session.leave_notice(f"the settings of the last visit are not there: {error}")
    st.session_state[_RESTORED] = st.session_state[_KEPT] = kept
    if kept.get("model") and not model_choice.is_chosen():
        choice = ModelChoice(kept["model"], kept.get("backend", "auto"))
        model_choice.take_choice(choice, loads=False)
