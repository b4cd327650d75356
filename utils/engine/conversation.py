"""What makes a conversation one that can be answered, and what may be left out of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

from utils.engine.protocol import ChatMessage
from utils.errors import RequestError

# Once something is left out, so much of the room is filled again: what stays can be read from the
# cache for some turns, instead of moving on with every question.
REFILLED = 0.75
# What a template puts around a message, about.
MESSAGE_TOKENS = 8
# No answer is kept more room than this part of the context.
ANSWER_SHARE = 4


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
    chars = _chars(messages)
    if max_chars is not None and chars > max_chars:
        raise RequestError(
            f"the conversation has {chars} characters, more than {max_chars}: shorten it, "
            "start a new chat, or raise SPECCHAT_MAX_PROMPT_CHARS"
        )


def room_for_prompt(context_tokens: int, max_tokens: int) -> int:
    """Return the tokens that a prompt may have so that there is room for an answer."""
    return context_tokens - min(max_tokens, context_tokens // ANSWER_SHARE)


def without_oldest(messages: Sequence[ChatMessage], pairs: int) -> tuple[ChatMessage, ...]:
    """Return the conversation without so many of its oldest questions and their answers.

    Never without a system message, nor the last question and what follows it.
    """
    starts = _questions(messages)
    first = starts[min(pairs, len(starts) - 1)] if pairs > 0 and starts else 0
    return tuple(
        message
        for index, message in enumerate(messages)
        if index >= first or message.role == "system"
    )


def without_first(messages: Sequence[ChatMessage], count: int) -> tuple[ChatMessage, ...]:
    """Return the conversation without its first so many messages, system messages aside."""
    said = [index for index, message in enumerate(messages) if message.role != "system"]
    left_out = set(said[: max(0, count)])
    return tuple(message for index, message in enumerate(messages) if index not in left_out)


def count_pairs(messages: Sequence[ChatMessage]) -> int:
    """Return how many questions with their answers may be left out."""
    return max(0, len(_questions(messages)) - 1)


def fewest_pairs(
    messages: Sequence[ChatMessage], sizes: Sequence[int], room: int, fits: Callable[[int], bool]
) -> int:
    """Return how many of the oldest pairs to leave out so that a conversation fits.

    `sizes` are the messages in tokens, as far as known, and `room` what the prompt may take;
    `fits` tells of a number of pairs whether it really is enough. The same pairs stay left out for
    some turns: it is found by going through the conversation as it grew.
    """
    starts, most = _questions(messages), count_pairs(messages)
    both = [*zip(messages, sizes, strict=True)]
    fixed = sum(size for message, size in both if message.role == "system")
    said = [0, *accumulate(0 if message.role == "system" else size for message, size in both)]

    def size_of(pairs: int, last: int) -> int:
        return fixed + said[starts[last] + 1] - said[starts[pairs] if pairs else 0]

    pairs = 0
    for turn in range(len(starts)):
        if size_of(pairs, turn) > room:
            while pairs < turn and size_of(pairs, turn) > REFILLED * room:
                pairs += 1
    if pairs == 0 or not fits(pairs):
        pairs += 1 + bisect_left(range(pairs + 1, most), x=True, key=fits)
    return min(pairs, most)


def fewest_pairs_by_chars(messages: Sequence[ChatMessage], max_chars: int) -> int:
    """Return how many of the oldest pairs to leave out for at most so many characters."""
    pairs = range(count_pairs(messages))
    return bisect_left(
        pairs, x=True, key=lambda n: _chars(without_oldest(messages, n)) <= max_chars
    )


def within_chars(messages: Sequence[ChatMessage], max_chars: int) -> tuple[ChatMessage, ...]:
    """Return the conversation without as many of its oldest pairs as have it too long."""
    return without_oldest(messages, fewest_pairs_by_chars(messages, max_chars))


def _chars(messages: Sequence[ChatMessage]) -> int:
    return sum(len(message.written) for message in messages)


def _questions(messages: Sequence[ChatMessage]) -> list[int]:
    return [index for index, message in enumerate(messages) if message.role == "user"]
