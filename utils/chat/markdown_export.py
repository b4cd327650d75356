"""Conversations as Markdown, to be read anywhere: no text of them becomes HTML."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from utils.chat.conversation import Conversation
from utils.chat.markdown import literal, safe_markdown
from utils.chat.turns import Turn, branch_to, fence_for
from utils.reasoning import split_reasoning


def to_markdown(conversation: Conversation) -> str:
    """Return the branch that is shown."""
    parts = [f"# {literal(conversation.title or 'Chat')}"]
    state = conversation.state()
    for turn in branch_to({turn.id: turn for turn in state.turns}, state.shown_id):
        parts += [*_question(turn), *_answer(turn)]
    return "\n\n".join(parts) + "\n"


def _question(turn: Turn) -> Iterator[str]:
    asked = datetime.fromtimestamp(turn.asked_at, UTC)
    yield f"## Question, {asked:%Y-%m-%d %H:%M} UTC"
    if turn.question.strip():
        yield _fenced(turn.question)
    for file in turn.attachments:
        yield f"Attached: {literal(file.name)}"
        yield _fenced(file.text)


def _answer(turn: Turn) -> Iterator[str]:
    answer = turn.answer
    if answer is None:
        return
    yield f"## Answer by {literal(answer.request.model.name or 'the model of the settings')}"
    parts = split_reasoning(answer.opened + answer.text)
    if parts.thought.strip():
        thought = safe_markdown(parts.thought.strip())
        yield "\n".join(["> *Thought:*", ">", *(f"> {line}" for line in thought.split("\n"))])
    if parts.answer.strip():
        yield safe_markdown(parts.answer.strip())
    if answer.error:
        yield f"*{literal(answer.error)}*"


def _fenced(text: str) -> str:
    fence = fence_for(text)
    return f"{fence}text\n{text}\n{fence}"
