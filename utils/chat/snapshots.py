"""An answer as a value: what was asked, and how far it has come at one moment."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, assert_never

from config import SamplingParams, SpeculativeConfig
from utils.backends.protocol import TARGET_OF_SETTINGS, ModelChoice
from utils.engine.protocol import ChatMessage
from utils.events import (
    Event,
    Finished,
    Mode,
    ModeName,
    Prefilled,
    Queued,
    Started,
    Token,
    Tokens,
    TokenSource,
)
from utils.performance_monitor import (
    FinishReason,
    GenerationStats,
    PerformanceMonitor,
    ReportedNumbers,
    RoundStats,
)
from utils.reasoning import LONGEST_MARK, ends_thought, split_reasoning

JobState = Literal["queued", "prefilling", "writing", "done", "stopped", "failed"]
SWITCHES = 8


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """All that decides an answer; `owner` is who asks, for a fair queue."""

    messages: tuple[ChatMessage, ...]
    sampling: SamplingParams
    speculative: SpeculativeConfig
    owner: str
    model: ModelChoice = TARGET_OF_SETTINGS


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
    """After how many tokens the way of writing changed, and to what."""

    at_tokens: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """An answer at one moment; `version` grows with every change.

    `started_at` is seconds since the epoch; `queue_position` is 0 unless the answer waits.
    `opened` stands in front of `text` but is part of the prompt. `thought_s` is how long a thought
    took to write, None until it ends. `writer` is empty while the engine writes, `servers` are all
    others that wrote a part. `switches` are the newest changes of mode; the first mode is none.
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

    @property
    def is_active(self) -> bool:
        """True while more may come."""
        return self.state in ("queued", "prefilling", "writing")


@dataclass(slots=True)
class AnswerRecord:
    """Gathers the events of one answer; not safe for threads.

    Text is kept in pieces and joined at a snapshot, so that neither a token nor a snapshot costs
    more the longer the answer gets, beyond one copy.
    """

    request: AnswerRequest
    started_at: float = field(default_factory=time.time)
    version: int = 0
    state: JobState = "queued"
    mode: ModeName | None = None
    drafter: str | None = None
    reason: str = ""
    queue_position: int = 0
    prompt_done: int = 0
    prompt_total: int = 0
    seed: int | None = None
    monitor: PerformanceMonitor = field(default_factory=PerformanceMonitor)
    stats: GenerationStats | None = None
    finish_reason: FinishReason | None = None
    error: str | None = None
    opened: str = ""
    thought_s: float | None = None
    writer: str = ""
    servers: tuple[str, ...] = ()
    reported: ReportedNumbers | None = None
    handovers: tuple[Handover, ...] = ()
    switches: tuple[Switch, ...] = ()
    _text: str = ""
    _chars: int = 0
    _tail: str = ""
    _fresh: list[str] = field(default_factory=list)
    _runs: list[SourceRun] = field(default_factory=list)
    _source: TokenSource | None = None
    _run_parts: list[str] = field(default_factory=list)
    _snapshot: JobSnapshot | None = None

    def take(self, event: Event) -> None:
        """Take in one event."""
        self.version += 1
        match event:
            case Queued():
                self.queue_position = event.position
            case Started():
                self._begin(event)
            case Prefilled():
                self.prompt_done, self.prompt_total = event.done, event.total
            case Mode():
                self._change_mode(event)
            case Tokens():
                self._write(event)
            case Finished():
                self.finish_reason, self.stats = event.reason, event.stats
                self.reported = event.reported
                self.state = "stopped" if event.reason == "cancelled" else "done"
            case _:
                assert_never(event)

    def stop(self) -> None:
        """End it as stopped by the user."""
        self.version += 1
        self.state, self.finish_reason = "stopped", "cancelled"

    def fail(self, error: str) -> None:
        """End it with a sentence that says why."""
        self.version += 1
        self.state, self.error = "failed", error

    def snapshot(self) -> JobSnapshot:
        """Return the answer as it stands; the same object while nothing has changed."""
        if self._snapshot is None or self._snapshot.version != self.version:
            self._snapshot = self._freeze()
        return self._snapshot

    def _begin(self, event: Started) -> None:
        self.state, self.queue_position, self.seed = "prefilling", 0, event.seed
        self.prompt_done, self.prompt_total = event.reused_tokens, event.prompt_tokens
        self.monitor.prompt_tokens = event.prompt_tokens
        self.monitor.reused_tokens = event.reused_tokens
        self.monitor.baseline = event.baseline
        self.opened = event.opened

    def _change_mode(self, event: Mode) -> None:
        if self._chars or self.monitor.completion_tokens:
            switch = Switch(self.monitor.completion_tokens, event)
            self.switches = (*self.switches[1 - SWITCHES :], switch)
        self.mode, self.drafter, self.reason = event.mode, event.drafter, event.reason
        self.writer = event.writer
        if event.handover and self._chars:
            # Whoever wrote nothing before the next one took over is not worth a mark.
            kept = tuple(known for known in self.handovers if known.at_chars < self._chars)
            self.handovers = (*kept, Handover(self._chars, event.handover))

    def _write(self, event: Tokens) -> None:
        if self.state != "writing" and event.tokens:
            self.state = "writing"
            self.monitor.ttft_s = event.tokens[0].time_s
        if self.writer and self.writer not in self.servers:
            self.servers = (*self.servers, self.writer)
        self.monitor.baseline = event.baseline
        self.monitor.extend(event.rounds)
        for token in event.tokens:
            self._append(token)

    def _append(self, token: Token) -> None:
        self._fresh.append(token.text)
        self._chars += len(token.text)
        self._time_thought(token)
        if token.source != self._source:
            self._runs.extend(self._open_run())
            self._source = token.source
            self._run_parts.clear()
        self._run_parts.append(token.text)

    def _time_thought(self, token: Token) -> None:
        """Note when the thought ended, if that is what this token did."""
        self._tail = (self._tail + token.text)[-(LONGEST_MARK + len(token.text)) :]
        if self.thought_s is not None or not ends_thought(self._tail):
            return
        parts = split_reasoning(self.opened + self._text + "".join(self._fresh))
        if parts.thought and not parts.is_open:
            self.thought_s = token.time_s - self.monitor.ttft_s

    def _open_run(self) -> tuple[SourceRun, ...]:
        text = "".join(self._run_parts)
        return (SourceRun(self._source, text),) if self._source and text else ()

    def _freeze(self) -> JobSnapshot:
        self._text += "".join(self._fresh)
        self._fresh.clear()
        return JobSnapshot(
            version=self.version,
            state=self.state,
            request=self.request,
            started_at=self.started_at,
            text=self._text,
            runs=(*self._runs, *self._open_run()),
            mode=self.mode,
            drafter=self.drafter,
            reason=self.reason,
            queue_position=self.queue_position,
            prompt_done=self.prompt_done,
            prompt_total=self.prompt_total,
            seed=self.seed,
            stats=self.stats or self.monitor.result(),
            rounds=tuple(self.monitor.series),
            finish_reason=self.finish_reason,
            error=self.error,
            opened=self.opened,
            thought_s=self.thought_s,
            writer=self.writer,
            servers=self.servers,
            reported=self.reported,
            handovers=self.handovers,
            switches=self.switches,
        )
