"""The state of the engine as pages, API and tests see it, and the signs of life behind it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Literal

from utils.engine.notice import Notice
from utils.engine.outbox import HEARTBEAT_S
from utils.engine.protocol import Stats
from utils.errors import SpecChatError
from utils.model_session import ModelInfo
from utils.performance_monitor import Baseline

EngineState = Literal["stopped", "starting", "loading", "ready", "busy", "restarting", "failed"]
START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """The engine at one moment.

    `live`: the engine works or is about to. `ready`: a target is loaded and answers. `reason` says
    why it is not well, `stage` what is being done while loading. `progress_age_s` is the time since
    the worker last gave a sign of progress (of life, where it has nothing to do). `stats` are the
    worker's numbers after the newest load or answer, None before.
    """

    state: EngineState = "stopped"
    live: bool = False
    ready: bool = False
    reason: str = ""
    stage: str = ""
    stage_share: float | None = None
    pid: int | None = None
    restarts: int = 0
    queue_length: int = 0
    progress_age_s: float = 0.0
    model: ModelInfo | None = None
    baseline: Baseline = field(default_factory=Baseline)
    llama_cpp_version: str = ""
    system_info: str = ""
    has_gpu: bool = False
    stats: Stats | None = None


class Vitals:
    """Keeps health up to date and judges whether the worker is stalled."""

    def __init__(self, changes: Notice, *, stall_timeout_s: float) -> None:
        """`changes` is notified whenever health changed."""
        self.failure: SpecChatError | None = None
        self._changes = changes
        self._stall_timeout_s = stall_timeout_s
        self._health = EngineHealth()
        self._heard_at = monotonic()
        self._reported_age_s = 0.0
        self._is_listening = True

    @property
    def state(self) -> EngineState:
        """The state alone."""
        return self._health.state

    @property
    def health(self) -> EngineHealth:
        """The state now, with what follows from it."""
        state, age_s = self.state, self._silent_s
        if state == "busy":
            age_s += self._reported_age_s
        works = state in ("ready", "busy") and self._health.model is not None
        return replace(
            self._health,
            live=state not in ("stopped", "failed"),
            ready=works and age_s <= self._stall_timeout_s + HEARTBEAT_S,
            progress_age_s=age_s,
        )

    @property
    def is_stalled(self) -> bool:
        """True after too long a silence, or when a busy worker reports no progress."""
        limit_s = self._stall_timeout_s
        if self.state in ("starting", "restarting"):
            return self._silent_s > max(limit_s, START_TIMEOUT_S)
        stuck = self.state == "busy" and self._reported_age_s > limit_s
        return stuck or self._silent_s > limit_s + HEARTBEAT_S

    def update(self, state: EngineState | None = None, **changes: Any) -> None:
        """Change fields of health."""
        self._health = replace(self._health, state=state or self.state, **changes)
        self._changes.notify()

    def fail(self, error: SpecChatError) -> None:
        """Note that the engine is out of order until somebody tries again."""
        self.failure = error
        self.update("failed", reason=str(error))

    def heard(self, *, progress_age_s: float | None = None) -> None:
        """Note that the worker spoke, and how old the last progress is, if it said so."""
        self._heard_at, self._is_listening = monotonic(), True
        if progress_age_s is not None:
            self._reported_age_s = progress_age_s

    def stop_listening(self) -> None:
        """Do not blame the worker for a silence until it is `heard` again."""
        self._is_listening = False

    @property
    def _silent_s(self) -> float:
        return monotonic() - self._heard_at if self._is_listening else 0.0
