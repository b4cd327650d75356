"""What happens while an answer is written: one frozen record per kind of event, in order.

`Queued`* `Started` `Prefilled`* (`Mode` | `Tokens`)* `Finished`; or an error.
The same records travel from decoder to worker, over the pipe, and on to pages and API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from utils.performance_monitor import (
    Baseline,
    FinishReason,
    GenerationStats,
    ReportedNumbers,
    RoundStats,
)

TokenSource = Literal["accepted", "resampled", "bonus", "plain"]
ModeName = Literal["speculative", "standard"]


@dataclass(frozen=True, slots=True)
class Token:
    """One emitted token: the text it released (may be empty), where it came from, and when.

    `time_s` counts from the start of the answer.
    """

    token_id: int
    text: str
    source: TokenSource
    time_s: float


@dataclass(frozen=True, slots=True)
class Queued:
    """The answer waits; `position` 1 is next."""

    position: int
    type: Literal["queued"] = "queued"


@dataclass(frozen=True, slots=True)
class Started:
    """Somebody began; `reused_tokens` of the prompt were still in the target's cache.

    `prompt_tokens` is 0 where they are not known yet. `opened` is what the prompt holds of the
    answer already: the mark of a thought that the template begins. `dropped_messages` of the oldest
    were left out to fit in `context_tokens`, which is 0 where unknown; `model` is who answers.
    """

    prompt_tokens: int
    reused_tokens: int
    seed: int
    baseline: Baseline
    opened: str = ""
    dropped_messages: int = 0
    context_tokens: int = 0
    model: str = ""
    type: Literal["started"] = "started"


@dataclass(frozen=True, slots=True)
class Prefilled:
    """So many prompt tokens are in the target's cache."""

    done: int
    total: int
    type: Literal["prefilled"] = "prefilled"


@dataclass(frozen=True, slots=True)
class Mode:
    """From here on answers are written this way, for this reason.

    `writer` is who writes, empty for the engine. `handover` says why another began to write and
    who goes on, empty where nobody handed over.
    """

    mode: ModeName
    drafter: str | None
    reason: str
    writer: str = ""
    handover: str = ""
    type: Literal["mode"] = "mode"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one round emitted, or several rounds since the last event."""

    tokens: tuple[Token, ...]
    rounds: tuple[RoundStats, ...]
    baseline: Baseline
    type: Literal["tokens"] = "tokens"


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete, cut at a limit, or was cancelled.

    `stats` are measured here; `reported` is what the server says that wrote it, where one did. The
    text of the last `held_tokens` tokens, `held_chars` long, would be another if more followed: a
    broken character, or the beginning of a stop text.
    """

    reason: FinishReason
    stats: GenerationStats
    reported: ReportedNumbers | None = None
    held_tokens: int = 0
    held_chars: int = 0
    type: Literal["finished"] = "finished"


Event = Queued | Started | Prefilled | Mode | Tokens | Finished
