"""The values of a comparison's widgets: where they begin, and what is found again on a visit."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import streamlit as st

from config import AUTO, get_settings
from pages.parts import session
from pages.parts.settings import DRAFT_LENGTHS, VERIFIERS
from utils.chat.race_snapshots import MOST_RUNS, MOST_TOKENS, SIDES
from utils.chat.targets import Target
from utils.errors import StorageError
from utils.prompt_suite import Suite, load_suite
from utils.storage import database
from utils.storage.preferences import load_preference, save_preference
from utils.storage.votes import ArmName

PREFIX = "race_"
PREFERENCE = "comparison"
OWN = "your own"
EXAMPLE = "Write a Python function that reverses a string."
ARMS: dict[ArmName, str] = {
    "standard": "Standard",
    "speculative": "Speculative",
    "ollama": "Ollama",
}
HOTTEST = 2.0
BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, HOTTEST),
    "seed": (0, 2**53 - 1),
    "max_tokens": (8, MOST_TOKENS),
    "runs": (1, MOST_RUNS),
    **{f"{side}_max_draft_tokens": (1, 16) for side in SIDES},
}


def value(name: str) -> Any:
    """Return what a widget holds."""
    return st.session_state[PREFIX + name]


def set_value(name: str, new: Any) -> None:
    """Put a value into a widget that is not drawn yet."""
    st.session_state[PREFIX + name] = new


def set_defaults(target: Target) -> None:
    """Give a value to what has none yet, and take back what this target does not offer."""
    defaults = _defaults(target)
    if any(PREFIX + name not in st.session_state for name in defaults):
        kept = _kept()
        for name, default in defaults.items():
            known = kept.get(name)
            is_sound = type(known) is type(default) and _is_offered(name, known)
            st.session_state.setdefault(PREFIX + name, known if is_sound else default)
    for side in SIDES:
        if value(f"{side}_arm") not in arms(target):
            set_value(f"{side}_arm", "standard")


def keep_values(target: Target) -> None:
    """Keep the values for the next visit; where that fails, they are not there then."""
    values = {name: value(name) for name in _defaults(target)}
    try:
        save_preference(database.get_database(), session.owner(), PREFERENCE, values)
    except StorageError as error:
        session.leave_notice(f"what is compared is not kept: {error}")


def arms(target: Target) -> list[ArmName]:
    """Return the ways in which a target can answer."""
    return [arm for arm in ARMS if arm != "ollama" or target.is_of_ollama]


@cache
def suite() -> Suite:
    """Return the prompts of the benchmark, by category."""
    return load_suite()


def _defaults(target: Target) -> dict[str, Any]:
    speculative = get_settings().speculative
    drafting = {
        "draft_model": AUTO,
        "draft_length": speculative.draft_length,
        "max_draft_tokens": speculative.max_draft_tokens,
        "verifier": speculative.verifier,
    }
    return {
        "source": OWN,
        "own": EXAMPLE,
        "temperature": min(HOTTEST, target.sampling(get_settings()).temperature),
        "seed": 1,
        "max_tokens": 160,
        "runs": 4,
        "blind": False,
        "a_arm": "standard",
        "b_arm": "speculative",
        **{f"{side}_{name}": default for side in SIDES for name, default in drafting.items()},
        **{f"prompt_{category}": 0 for category in suite()},
    }


def _is_offered(name: str, known: Any) -> bool:
    if name in BOUNDS:
        low, high = BOUNDS[name]
        return bool(low <= known <= high)
    if name.startswith("prompt_"):
        return bool(0 <= known < len(suite()[name.removeprefix("prompt_")]))
    if name == "source":
        return known == OWN or known in suite()
    offered: dict[str, Collection[Any]] = {
        "arm": ARMS,
        "draft_length": DRAFT_LENGTHS,
        "verifier": VERIFIERS,
    }
    return known in offered.get(name.split("_", 1)[-1], (known,))


def _kept() -> dict[str, Any]:
    try:
        kept = load_preference(database.get_database(), session.owner(), PREFERENCE)
    except StorageError:
        return {}
    return kept if isinstance(kept, dict) else {}
