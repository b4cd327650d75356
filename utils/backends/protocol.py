"""What can answer a conversation: the engine, Ollama, or one after the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from config import SamplingParams, SpeculativeConfig
from utils.engine.protocol import ChatMessage
from utils.events import Event

BackendName = Literal["auto", "ollama"]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model by name, and who answers with it; without a name, the target of the settings.

    `auto` is the engine wherever it can read the file.
    """

    name: str = ""
    backend: BackendName = "auto"


TARGET_OF_SETTINGS = ModelChoice()


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can answer now; if not, why, in one sentence."""

    is_available: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """The beginning of an answer: its text, how many tokens, and their ids where all are known.

    `opened` is the mark of a thought that stood in the prompt, in front of the text. The ids are
    those of `model`, where it is named.
    """

    text: str = ""
    tokens: int = 0
    token_ids: tuple[int, ...] = ()
    opened: str = ""
    model: str = ""

    def __bool__(self) -> bool:
        return bool(self.text)


NOTHING_WRITTEN = Written()


class Backend(Protocol):
    """One way to answer."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    async def available(self) -> Availability:
        """Tell whether it can answer now; raises nothing for a server that is down."""
        ...

    def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: SamplingParams,
        speculative: SpeculativeConfig,
        owner: str = "",
        written: Written = NOTHING_WRITTEN,
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer, or of what follows on `written`; raises `SpecChatError`.

        `sampling` is that of the whole answer; the numbers in `Finished` are those of the part
        that this backend wrote.
        """
        ...
