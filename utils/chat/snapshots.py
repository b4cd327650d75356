"""An answer as a value: what was asked, and how far it has come at one moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from config import SamplingParams, SpeculativeConfig
from utils.backends.protocol import TARGET_OF_SETTINGS, ModelChoice, Written
from utils.engine.protocol import ChatMessage
from utils.errors import RequestError
from utils.events import Mode, ModeName, TokenSource
from utils.experiments.rollout import Enrolment
from utils.performance_monitor import FinishReason, GenerationStats, ReportedNumbers, RoundStats

JobState = Literal["queued", "prefilling", "writing", "done", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """All that decides an answer; `owner` is who asks, for a fair queue.

    An answer that was cut is gone on with after `begun`: made by `go_on`, never by hand.
    `enrolment` is its part in an experiment, None where it has none.
    """

    messages: tuple[ChatMessage, ...]
    sampling: SamplingParams
    speculative: SpeculativeConfig
    owner: str
    model: ModelChoice = TARGET_OF_SETTINGS
    begun: JobSnapshot | None = None
    enrolment: Enrolment | None = None


@dataclass(frozen=True, slots=True)
class SourceRun:
    """Neighbouring tokens that came from the same place, as one piece of text."""

    source: TokenSource
    text: str


@dataclass(frozen=True, slots=True)
class Handover:
    """Where in the text another began to write, and why and who."""

    at_chars: int
    reason: str


@dataclass(frozen=True, slots=True)
class Switch:
    """After how many tokens and seconds of the answer the way of writing changed, and to what."""

    at_tokens: int
    mode: Mode
    time_s: float = 0.0


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """An answer at one moment; `version` grows with every change.

    `started_at` is seconds since the epoch; `queue_position` is 0 unless the answer waits.
    `opened` stands in front of `text` but is part of the prompt. `thought_s` is how long a thought
    took to write, None until it ends. `writer` is empty while the engine writes, `servers` are all
    others that wrote a part. `switches` are the newest changes of mode; the first mode is none.
    `token_ids` are those of `model`, empty where not all are known; of the last `held_tokens` the
    text, `held_chars` long, may be another once more follows. The prompt fits in `context_tokens`,
    0 where unknown, without the oldest `dropped_messages`.
    """

    version: int
    state: JobState
    request: AnswerRequest
    started_at: float
    text: str
    runs: tuple[SourceRun, ...]
    mode: ModeName | None
    drafter: str | None
    reason: str
    queue_position: int
    prompt_done: int
    prompt_total: int
    seed: int | None
    stats: GenerationStats
    rounds: tuple[RoundStats, ...]
    finish_reason: FinishReason | None
    error: str | None
    opened: str = ""
    thought_s: float | None = None
    writer: str = ""
    servers: tuple[str, ...] = ()
    reported: ReportedNumbers | None = None
    handovers: tuple[Handover, ...] = ()
    switches: tuple[Switch, ...] = ()
    token_ids: tuple[int, ...] = ()
    held_tokens: int = 0
    held_chars: int = 0
    model: str = ""
    dropped_messages: int = 0
    context_tokens: int = 0

    @property
    def is_active(self) -> bool:
        """True while more may come."""
        return self.state in ("queued", "prefilling", "writing")

    @property
    def can_go_on(self) -> bool:
        """True for an answer that was cut: at its limit, by the user, or by what failed."""
        is_cut = self.state in ("stopped", "failed") or self.finish_reason == "length"
        return is_cut and not self.is_active and bool(self.text)

    @property
    def written(self) -> Written:
        """What stands of the answer, whatever follows on it."""
        tokens = (len(self.token_ids) or self.stats.completion_tokens) - self.held_tokens
        return Written(
            self.text[: len(self.text) - self.held_chars],
            max(0, tokens),
            self.token_ids[: max(0, tokens)],
            self.opened,
            self.model,
        )


def go_on(answer: JobSnapshot, request: AnswerRequest) -> AnswerRequest:
    """Return a request for up to `max_tokens` more of an answer that was cut.

    The seed is that of the answer. Raises `RequestError` for an answer that is complete, still
    being written, or not begun.
    """
    if not answer.can_go_on:
        raise RequestError(
            "the answer cannot be gone on with: it was not cut; ask something else, or write it "
            "again"
        )
    changes = {
        "seed": answer.seed,
        "max_tokens": answer.written.tokens + answer.held_tokens + request.sampling.max_tokens,
    }
    sampling = request.sampling.model_copy(update=changes)
    # What that one went on with is part of it: a chain of all before would never end.
    begun = replace(answer, request=replace(answer.request, begun=None))
    return replace(request, sampling=sampling, begun=begun)
