"""What gathers the events of one answer, and shows it as a `JobSnapshot` at any moment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from utils.chat.snapshots import (
    AnswerRequest,
    Handover,
    JobSnapshot,
    JobState,
    SourceRun,
    Switch,
)
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
    join_stats,
)
from utils.reasoning import LONGEST_MARK, ends_thought, split_reasoning

SWITCHES = 256


@dataclass(slots=True)
class AnswerRecord:
    """Gathers the events of one answer, after what had begun of it; not safe for threads.

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
    held_tokens: int = 0
    held_chars: int = 0
    model: str = ""
    dropped_messages: int = 0
    context_tokens: int = 0
    _before: GenerationStats | None = None
    _before_s: float = 0.0
    _last_s: float = 0.0
    _text: str = ""
    _chars: int = 0
    _tail: str = ""
    _fresh: list[str] = field(default_factory=list)
    _token_ids: list[int] | None = field(default_factory=list)
    _runs: list[SourceRun] = field(default_factory=list)
    _source: TokenSource | None = None
    _run_parts: list[str] = field(default_factory=list)
    _snapshot: JobSnapshot | None = None

    def __post_init__(self) -> None:
        if self.request.begun is not None:
            self._resume(self.request.begun)

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
                self.held_tokens, self.held_chars = event.held_tokens, event.held_chars
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

    def _resume(self, begun: JobSnapshot) -> None:
        """Take over what stands of an answer that was cut."""
        written = begun.written
        self.started_at, self.version = begun.started_at, begun.version + 1
        self.mode, self.drafter, self.reason = begun.mode, begun.drafter, begun.reason
        self.writer, self.servers, self.handovers = begun.writer, begun.servers, begun.handovers
        self.switches, self.opened, self.thought_s = begun.switches, begun.opened, begun.thought_s
        self.seed, self.model = begun.seed, begun.model
        self.dropped_messages, self.context_tokens = begun.dropped_messages, begun.context_tokens
        self.monitor.series.extend(begun.rounds)
        self._before = replace(begun.stats, completion_tokens=written.tokens)
        self._before_s = self._last_s = begun.stats.ttft_s + begun.stats.decode_s
        self._text, self._chars = written.text, len(written.text)
        self._tail = written.text[-LONGEST_MARK:]
        are_known = len(written.token_ids) == written.tokens
        self._token_ids = list(written.token_ids) if are_known else None
        self._runs = _cut(begun.runs, len(written.text))

    def _begin(self, event: Started) -> None:
        self.state, self.queue_position, self.seed = "prefilling", 0, event.seed
        self.prompt_done, self.prompt_total = event.reused_tokens, event.prompt_tokens
        self.monitor.prompt_tokens = event.prompt_tokens
        self.monitor.reused_tokens = event.reused_tokens
        self.monitor.baseline = event.baseline
        self.dropped_messages = event.dropped_messages
        self.context_tokens = event.context_tokens
        if self._before is None:
            self.opened = event.opened
        else:
            # What is gone on with has been read as a part of the prompt.
            prompt_tokens = max(0, event.prompt_tokens - self._before.completion_tokens)
            prompt_tokens = prompt_tokens or self._before.prompt_tokens
            self._before = replace(self._before, prompt_tokens=prompt_tokens)
            if event.model != self.model:
                self._token_ids = None
        self.model = event.model

    def _change_mode(self, event: Mode) -> None:
        before = (self.mode, self.drafter, self.reason, self.writer)
        if self._chars or self.monitor.completion_tokens:
            now = (event.mode, event.drafter, event.reason, event.writer)
            if now != before:
                switch = Switch(self._completion_tokens, event, self._last_s)
                self.switches = (*self.switches[1 - SWITCHES :], switch)
        self.mode, self.drafter, self.reason = event.mode, event.drafter, event.reason
        self.writer = event.writer
        if event.handover and self._chars:
            # Whoever wrote nothing before the next one took over is not worth a mark.
            kept = tuple(known for known in self.handovers if known.at_chars < self._chars)
            self.handovers = (*kept, Handover(self._chars, event.handover))

    @property
    def _completion_tokens(self) -> int:
        before = self._before.completion_tokens if self._before else 0
        return before + self.monitor.completion_tokens

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
        self._last_s = self._before_s + token.time_s
        if self._token_ids is not None:
            if token.token_id >= 0:
                self._token_ids.append(token.token_id)
            else:
                self._token_ids = None
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
            before_s = self._before.decode_s if self._before else 0.0
            self.thought_s = before_s + token.time_s - self.monitor.ttft_s

    def _open_run(self) -> tuple[SourceRun, ...]:
        text = "".join(self._run_parts)
        return (SourceRun(self._source, text),) if self._source and text else ()

    def _freeze(self) -> JobSnapshot:
        self._text += "".join(self._fresh)
        self._fresh.clear()
        stats = self.stats or self.monitor.result()
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
            stats=join_stats(self._before, stats) if self._before else stats,
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
            token_ids=tuple(self._token_ids or ()),
            held_tokens=self.held_tokens,
            held_chars=self.held_chars,
            model=self.model,
            dropped_messages=self.dropped_messages,
            context_tokens=self.context_tokens,
        )


def _cut(runs: Sequence[SourceRun], chars: int) -> list[SourceRun]:
    """Return the runs of the first so many characters."""
    kept: list[SourceRun] = []
    for run in runs:
        text = run.text[:chars]
        chars -= len(text)
        if text:
            kept.append(SourceRun(run.source, text))
    return kept
