"""What the decoder needs of a model, nothing of llama.cpp: small enough to fake in a test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from utils.errors import ContextFullError, RequestError

FloatArray = NDArray[np.float32]


class DecodeAborted(Exception):  # noqa: N818 - a signal, not an error
    """A decode was stopped from outside; the session still holds what it says it holds."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A loaded model in facts."""

    path: str
    name: str
    architecture: str
    quantization: str
    parameters: int
    size_bytes: int
    vocabulary_size: int
    trained_context: int
    context_tokens: int
    threads: int
    batch_threads: int


class ModelSession(Protocol):
    """One sequence of tokens in one model: decode more of it, read logits, take tokens back."""

    @property
    def n_vocab(self) -> int:
        """Columns of the logits."""
        ...

    @property
    def n_ctx(self) -> int:
        """Tokens the sequence can hold."""
        ...

    @property
    def max_batch(self) -> int:
        """Tokens that one `decode` takes at most."""
        ...

    @property
    def cached(self) -> Sequence[int]:
        """The tokens in the KV cache, in order; not to be changed by the caller."""
        ...

    def decode(self, token_ids: Sequence[int], *, rows: int, width: int = 0) -> FloatArray:
        """Append tokens to the cache and return the logits after the last `rows` of them.

        The pass may be padded to `width` tokens.

        The array, of shape (rows, n_vocab), is a view that the next `decode` overwrites. With
        `rows` 0 no logits are computed. Raises `ModelError` on failure and `DecodeAborted` when
        stopped; in both cases `cached` tells what the cache still holds.
        """
        ...

    def rollback(self, length: int) -> None:
        """Keep the first `length` tokens of the cache; 0 <= length <= len(cached)."""
        ...


class Vocabulary(Protocol):
    """What the decoder needs to know about token ids."""

    @property
    def size(self) -> int:
        """Number of token ids."""
        ...

    def piece(self, token_id: int) -> bytes:
        """Bytes that the token adds to a text; empty for control tokens."""
        ...

    def is_end(self, token_id: int) -> bool:
        """Tell whether the token ends an answer."""
        ...


def common_prefix(first: Sequence[int], second: Sequence[int], start: int = 0) -> int:
    """Return how many leading tokens agree, given that the first `start` do."""
    limit = min(len(first), len(second))
    for index in range(start, limit):
        if first[index] != second[index]:
            return index
    return limit


def prefill(session: ModelSession, token_ids: Sequence[int]) -> Iterator[int]:
    """Bring the cache to exactly `token_ids`, reusing the longest common prefix.

    Yields the number of tokens held: first what was reused, then after every chunk.
    """
    kept = common_prefix(session.cached, token_ids)
    session.rollback(kept)
    yield kept
    for start in range(kept, len(token_ids), session.max_batch):
        session.decode(token_ids[start : start + session.max_batch], rows=0)
        yield len(session.cached)


def check_prompt(prompt: Sequence[int], session: ModelSession, spare: int) -> None:
    """Raise `RequestError` unless there is a prompt, and room for more than `spare` tokens."""
    if not prompt:
        raise RequestError("the prompt is empty: there is nothing to answer")
    if len(prompt) >= session.n_ctx - spare:
        raise ContextFullError(
            f"the conversation has {len(prompt)} tokens, the context {session.n_ctx}: "
            "shorten it, start a new chat, or raise SPECCHAT_CONTEXT_TOKENS"
        )
