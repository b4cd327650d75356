"""What can be done with a turn: ask it otherwise, answer it again, go on, leaf through, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

import streamlit as st

from pages.parts import session
from pages.parts.copying import draw_copy_button
from pages.parts.settings import read_settings
from utils.chat.conversation import Attachment, Conversation, Turn
from utils.chat.jobs import get_board
from utils.chat.passages import answer_text
from utils.chat.shelf import get_shelf
from utils.engine import runtime
from utils.errors import RequestError

DELETE = "Delete this question and its answer"
_EDITED = "edited_turn"


def ask(question: str, attachments: Iterable[Attachment] = ()) -> bool:
    """Ask with the settings as they stand; False, with a notice left, where that cannot be."""
    return _attempt(
        lambda conversation: conversation.ask(
            question,
            read_settings(),
            board=get_board(),
            runtime=runtime.get_engine(),
            attachments=attachments,
        )
    )


def is_edited(turn: Turn) -> bool:
    """Tell whether the question of a turn is being edited."""
    return st.session_state.get(_EDITED) == turn.id


def draw_edit_button(turn: Turn, conversation: Conversation) -> None:
    """Draw the button that opens a question for editing."""
    st.button(
        "Edit",
        icon=":material/edit:",
        type="tertiary",
        disabled=conversation.is_answering or not session.is_own(conversation),
        on_click=_edit,
        args=(turn.id,),
        key=f"quiet_edit_{turn.id}",
    )


def draw_edit_form(turn: Turn) -> None:
    """Draw the question as it can be changed."""
    with st.form(f"edit_form_{turn.id}", border=False, enter_to_submit=False):
        st.text_area(
            "Edit the question",
            value=turn.question,
            key=_text_key(turn.id),
            max_chars=100_000,
            height="content",
        )
        st.caption("The answer so far stays as a version.")
        with st.container(horizontal=True, gap="small"):
            st.form_submit_button("Ask again", type="primary", on_click=_ask_again, args=(turn.id,))
            st.form_submit_button("Cancel", on_click=_edit, args=(None,))


def draw_actions(turn: Turn, conversation: Conversation, *, is_last: bool) -> None:
    """Draw what can be done with a finished answer, in one row."""
    is_busy = conversation.is_answering or not session.is_own(conversation)
    with st.container(key=f"actions_{turn.id}", horizontal=True, gap="small"):
        _draw_versions(turn, conversation)
        if turn.answer is None:
            return
        if text := answer_text(turn.answer):
            draw_copy_button(text, key=f"copy_{turn.id}")
        if is_last and turn.answer.can_go_on:
            st.button(
                "Continue",
                icon=":material/play_arrow:",
                type="tertiary",
                disabled=is_busy,
                on_click=_continue,
                key="continue",
            )
        st.button(
            "Regenerate" if is_last else "Answer again",
            icon=":material/refresh:",
            type="tertiary",
            disabled=is_busy,
            on_click=_regenerate,
            args=(turn.id,),
            key="again" if is_last else f"quiet_again_{turn.id}",
        )
        st.menu_button(
            "More",
            [DELETE],
            icon=":material/more_horiz:",
            type="tertiary",
            disabled=is_busy,
            on_click=_delete,
            args=(turn.id,),
            key=f"quiet_more_{turn.id}",
        )


def _draw_versions(turn: Turn, conversation: Conversation) -> None:
    """Draw which version of a turn this is, and the way to its neighbours."""
    versions = conversation.versions_of(turn.id)
    ids, position = versions.turn_ids, versions.position
    if len(ids) < 2:
        return
    with st.container(
        key=f"versions_{turn.id}",
        horizontal=True,
        vertical_alignment="center",
        gap=None,
        width="content",
    ):
        for step, icon, name in ((-1, "chevron_left", "Earlier"), (1, "chevron_right", "Later")):
            place = position - 1 + step
            if step > 0:
                st.caption(f"{position} / {len(ids)}", width="content")
            st.button(
                f"{name} version",
                icon=f":material/{icon}:",
                type="tertiary",
                disabled=not (0 <= place < len(ids) and session.is_own(conversation)),
                on_click=_show,
                args=(ids[min(max(place, 0), len(ids) - 1)],),
                key=f"quiet_{name.lower()}_version_{turn.id}",
            )


def _edit(turn_id: str | None) -> None:
    """Have the question drawn as a form, alone, unless another one is a form no more."""
    edited = st.session_state.get(_EDITED)
    st.session_state[_EDITED] = turn_id
    if turn_id and edited and edited != turn_id:
        st.rerun()


def _ask_again(turn_id: str) -> None:
    question = cast("str", st.session_state[_text_key(turn_id)])
    if _attempt(
        lambda conversation: conversation.edit(
            turn_id, question, read_settings(), board=get_board(), runtime=runtime.get_engine()
        )
    ):
        _edit(None)
    st.rerun()


def _regenerate(turn_id: str) -> None:
    _attempt(
        lambda conversation: conversation.regenerate(
            read_settings(), board=get_board(), runtime=runtime.get_engine(), turn_id=turn_id
        )
    )


def _continue() -> None:
    _attempt(
        lambda conversation: conversation.continue_answer(
            read_settings(), board=get_board(), runtime=runtime.get_engine()
        )
    )


def _show(turn_id: str) -> None:
    _attempt(lambda conversation: conversation.show(turn_id))


def _delete(turn_id: str) -> None:
    if _attempt(lambda conversation: conversation.delete_turn(turn_id)):
        session.leave_notice("the question and its answer are deleted")


def _attempt(act: Callable[[Conversation], object]) -> bool:
    """Change the open conversation and keep it; where that cannot be, leave a notice."""
    conversation = session.open_conversation()
    try:
        _check_own(conversation)
        act(conversation)
    except RequestError as error:
        session.leave_notice(str(error))
        return False
    get_shelf().put(conversation)
    return True


def _check_own(conversation: Conversation) -> None:
    if not session.is_own(conversation):
        raise RequestError("this chat belongs to another browser: copy it to your chats first")


def _text_key(turn_id: str) -> str:
    return f"edit_text_{turn_id}"
