"""What makes a conversation one that can be answered."""

from __future__ import annotations

from collections.abc import Sequence

from utils.engine.protocol import ChatMessage
from utils.errors import RequestError


def check_conversation(messages: Sequence[ChatMessage], *, max_chars: int | None = None) -> None:
    """Raise `RequestError` for nothing to answer, or more than `max_chars` characters."""
    if not messages:
        raise RequestError("the conversation is empty: there is nothing to answer")
    if not messages[-1].content.strip():
        raise RequestError("the last message is empty: there is nothing to answer")
    try:
        "".join(message.written for message in messages).encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"the conversation is no Unicode text: {error.reason}") from error
    chars = sum(len(message.written) for message in messages)
    if max_chars is not None and chars > max_chars:
        raise RequestError(
            f"the conversation has {chars} characters, more than {max_chars}: shorten it, "
            "start a new chat, or raise SPECCHAT_MAX_PROMPT_CHARS"
        )
