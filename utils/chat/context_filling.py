"""How full the context of a model is after an answer, in figures and in words."""

from __future__ import annotations

from dataclasses import dataclass

from utils.chat.snapshots import JobSnapshot
from utils.model_session import ModelInfo

NEARLY_FULL = 0.8


@dataclass(frozen=True, slots=True)
class ContextFilling:
    """So many tokens are used of `total`, which is 0 where nobody knows it.

    The oldest `dropped` messages were left out of the prompt, because they did not fit.
    """

    used: int
    total: int
    dropped: int = 0

    @property
    def share(self) -> float:
        """How much of the context is used, 0 to 1."""
        return min(1.0, self.used / self.total) if self.total else 0.0

    @property
    def line(self) -> str:
        """The figures."""
        return f"Context: {self.used:,} of {self.total:,} tokens"

    @property
    def note(self) -> str:
        """What was left out, or soon will be; empty where all fits."""
        if self.dropped:
            noun = "message was" if self.dropped == 1 else f"{self.dropped} messages were"
            return f"The oldest {noun} left out of the last prompt: the chat outgrew the context."
        if self.share >= NEARLY_FULL:
            return "The context is nearly full: the oldest messages will be left out next."
        return ""


def context_filling(answer: JobSnapshot, model: ModelInfo | None) -> ContextFilling:
    """Return how full the context is with an answer and its prompt.

    Where the answer does not tell the size of the context, that of the loaded `model` counts if it
    wrote the answer.
    """
    used = answer.stats.prompt_tokens + answer.stats.completion_tokens
    loaded = model.context_tokens if model is not None and not answer.writer else 0
    return ContextFilling(used, answer.context_tokens or loaded, answer.dropped_messages)
