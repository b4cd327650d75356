"""What Ollama tells, as values of our own: models, progress of a download, pieces of an answer."""

from __future__ import annotations

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
    """What `show` says: the Modelfile made by Ollama, parameters and template as it has them."""

    modelfile: str
    parameters: str
    template: str
    capabilities: tuple[str, ...]
    architecture: str


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
