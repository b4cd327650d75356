"""What is to be compared: a prompt, two ways to answer it, and what both have in common."""

from __future__ import annotations

from typing import Any

import streamlit as st

from config import AUTO, get_settings
from pages.parts import model_choice, session
from pages.parts.draft_labels import draft_labels, offered_draft
from pages.parts.fields import draw_number
from pages.parts.race_values import (
    ARMS,
    BOUNDS,
    OWN,
    PREFIX,
    arms,
    keep_values,
    set_defaults,
    set_value,
    suite,
    value,
)
from pages.parts.settings import ABOUT_VERIFIERS, DRAFT_LENGTHS, VERIFIERS, drafts_of
from utils.chat import race_wording
from utils.chat.markdown import literal
from utils.chat.model_wording import model_label
from utils.chat.race_snapshots import SIDES, Entrant, RaceRequest, Side
from utils.chat.targets import Target
from utils.chat.wording import sentence
from utils.engine.protocol import ChatMessage
from utils.prompt_suite import Turns

SHOWN_CHARS = 90
WITHOUT_ENGINE = "the engine cannot use this model, so there is nothing to compare"


def draw_setup() -> None:
    """Draw what is to be compared; `read_setup` returns what it says."""
    target = model_choice.current_target()
    set_defaults(target)
    if target.entry is not None and target.entry.fitness == "unusable":
        reason = sentence(f"{WITHOUT_ENGINE}: {target.entry.reason}")
        st.warning(literal(reason), icon=":material/block:")
    _draw_prompt()
    for side, column in zip(SIDES, st.columns(2, gap="medium"), strict=True):
        with column, st.container(gap="small"):
            _draw_side(side, target)
    _draw_common()
    is_mixed = (value("a_arm") == "ollama") != (value("b_arm") == "ollama")
    if is_mixed and value("temperature") > 0:
        st.caption(race_wording.OWN_DRAWS)


def read_setup() -> RaceRequest:
    """Return what is to be compared as the widgets stand, which is kept for the next visit.

    Raises `RequestError`.
    """
    settings, target = get_settings(), model_choice.current_target()
    set_defaults(target)
    keep_values(target)
    common = {name: value(name) for name in ("temperature", "seed", "max_tokens")}
    return RaceRequest(
        messages=_messages(_turns()),
        sampling=target.sampling(settings).model_copy(update=common),
        a=_entrant("a"),
        b=_entrant("b"),
        runs_each=value("runs"),
        model=target.choice(settings),
        model_name=model_label(target.entry) if target.entry else target.name,
        owner=session.owner(),
        is_blind=value("blind"),
    )


def _draw_prompt() -> None:
    source, prompt = st.columns([1, 3], gap="medium")
    source.selectbox(
        "Prompt from",
        [OWN, *suite()],
        format_func=str.capitalize,
        key=PREFIX + "source",
        persist_state="session",
        help="Your own, or a category of the benchmark's prompts.",
    )
    with prompt:
        if value("source") == OWN:
            st.text_area(
                "Prompt",
                key=PREFIX + "own",
                persist_state="session",
                height=110,
                max_chars=20_000,
            )
            return
        prompts = suite()[value("source")]
        st.selectbox(
            "Prompt",
            range(len(prompts)),
            format_func=lambda number: _first_line(prompts[number]),
            key=f"{PREFIX}prompt_{value('source')}",
            persist_state="session",
        )
        turns = _turns()
        if len(turns) > 1 or _first_line(turns) != turns[0]:
            with st.expander("The whole prompt", type="compact"):
                for message in _messages(turns):
                    st.caption(message.role.capitalize())
                    st.text(message.content)


def _draw_side(side: Side, target: Target) -> None:
    st.segmented_control(
        side.upper(),
        arms(target),
        format_func=ARMS.__getitem__,
        required=True,
        key=f"{PREFIX}{side}_arm",
        persist_state="session",
    )
    if value(f"{side}_arm") != "speculative":
        return
    # The label says nothing of the values: with another label it would be another fold, closed.
    with st.expander("Draft, length, verifier", type="compact", key=f"{PREFIX}{side}_drafting"):
        _draw_drafting(side, target)


def _draw_drafting(side: Side, target: Target) -> None:
    """Draw how a side drafts."""
    drafts = drafts_of(target)
    labels = draft_labels(drafts) or {AUTO: "Automatic"}
    if (chosen := value(f"{side}_draft_model")) not in labels:
        set_value(f"{side}_draft_model", offered_draft(chosen, drafts))
    st.selectbox(
        "Draft",
        list(labels),
        format_func=lambda name: labels.get(name, name),
        key=f"{PREFIX}{side}_draft_model",
        persist_state="session",
    )
    st.segmented_control(
        "Draft length",
        list(DRAFT_LENGTHS),
        format_func=DRAFT_LENGTHS.__getitem__,
        required=True,
        key=f"{PREFIX}{side}_draft_length",
        persist_state="session",
    )
    if value(f"{side}_draft_length") == "fixed":
        st.slider(
            "Tokens drafted in a round",
            min_value=1,
            max_value=16,
            key=f"{PREFIX}{side}_max_draft_tokens",
            persist_state="session",
        )
    st.selectbox(
        "Verifier",
        list(VERIFIERS),
        format_func=VERIFIERS.__getitem__,
        key=f"{PREFIX}{side}_verifier",
        persist_state="session",
        help=ABOUT_VERIFIERS,
    )


def _draw_common() -> None:
    with st.grid(5, min_column_width=130):
        _draw_number("temperature", "Temperature", 0.1)
        _draw_number("seed", "Seed", 1)
        _draw_number("max_tokens", "Longest answer", 32, help="In tokens.")
        _draw_number("runs", "Runs each", 1, help="In the order A B B A, and so on.")
        with st.container(height="stretch", vertical_alignment="bottom"):
            st.toggle(
                "Blind",
                key=PREFIX + "blind",
                persist_state="session",
                help="Which side is A is drawn by lot and told after you have voted.",
            )


def _draw_number(name: str, label: str, step: float, **options: Any) -> None:
    draw_number(PREFIX + name, BOUNDS[name], label, step, **options)


def _entrant(side: Side) -> Entrant:
    names = ("draft_model", "draft_length", "max_draft_tokens", "verifier")
    drafting = {name: value(f"{side}_{name}") for name in names}
    arm = value(f"{side}_arm")
    return Entrant(
        get_settings().speculative.model_copy(update={**drafting, "enabled": arm == "speculative"}),
        "ollama" if arm == "ollama" else "auto",
    )


def _turns() -> Turns:
    source = value("source")
    if source == OWN:
        return (value("own"),)
    number: int = value(f"prompt_{source}")
    return suite()[source][number]


def _messages(turns: Turns) -> tuple[ChatMessage, ...]:
    return tuple(
        ChatMessage(role="user" if number % 2 == 0 else "assistant", content=text)
        for number, text in enumerate(turns)
    )


def _first_line(turns: Turns) -> str:
    line = " ".join(turns[0].split())
    return line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}\N{HORIZONTAL ELLIPSIS}"
