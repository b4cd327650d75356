"""What Ollama tells, as values of our own: models, progress of a download, pieces of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from utils.errors import OllamaProtocolError

MAX_COUNT = 2**63


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """A model that Ollama has; `family` and the two after it are empty where it does not say."""

    name: str
    digest: str
    size_bytes: int
    family: str = ""
    parameters: str = ""
    quantization: str = ""


@dataclass(frozen=True, slots=True)
class OllamaModelDetails:
    """What `show` says: the Modelfile made by Ollama, parameters and template as it has them.

    `trained_context` is 0 where its header does not tell.
    """

    modelfile: str
    parameters: str
    template: str
    capabilities: tuple[str, ...]
    architecture: str
    trained_context: int = 0


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A model in Ollama's memory."""

    name: str
    size_bytes: int
    gpu_bytes: int
    context_tokens: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a download is, over all files that Ollama has named so far."""

    status: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class OllamaNumbers:
    """What Ollama counted and timed in one answer; `prompt_tokens` are those of the whole prompt.

    `reason` is its word for why the answer ended.
    """

    reason: str
    prompt_tokens: int
    prompt_s: float
    answer_tokens: int
    answer_s: float
    load_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class OllamaPiece:
    """A piece of an answer, thoughts apart; the last one has numbers."""

    text: str
    thinking: str = ""
    numbers: OllamaNumbers | None = None


def checked_count(number: int | None) -> int:
    """Return a count, 0 where Ollama leaves it out; raises `OllamaProtocolError` for nonsense."""
    count = number or 0
    if not 0 <= count <= MAX_COUNT:
        raise OllamaProtocolError("Ollama counted less than nothing, or more than there can be")
    return count


def trained_context(header: Mapping[str, object]) -> int:
    """Return the context a model was trained for, by its header; 0 where that does not tell."""
    told = header.get(f"{header.get('general.architecture')}.context_length")
    return told if isinstance(told, int) and 0 < told <= MAX_COUNT else 0
