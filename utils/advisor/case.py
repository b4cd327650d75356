"""What advice is given on: one answer, the machine it was written on, and what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from utils.chat.snapshots import JobSnapshot
from utils.performance_monitor import GenerationStats, ratio
from utils.round_figures import TimeSplit, time_split

Tone = Literal["good", "quiet", "bad"]


@dataclass(frozen=True, slots=True)
class Advice:
    """A finding in a few words and in a sentence, and what to do about it.

    `share` is the part of the answer's time that it concerns, 0 to 1.
    """

    title: str
    finding: str
    step: str = ""
    tone: Tone = "bad"
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of machine, engine and models now; 0, None or empty where nobody tells.

    `load` is how many programs want a core, `pace` how many times as slow passes are as when they
    were measured. `pass_costs` are passes over 1, 2, 3... tokens in
    plain steps, `best_length` the draft length that pays best by them. `suggestion` is a draft
    that could be pulled.
    """

    cores: int = 0
    load: float = 0.0
    pace: float = 1.0
    available_bytes: int | None = None
    target_bytes: int = 0
    has_gpu: bool = False
    pass_costs: tuple[float, ...] = ()
    best_length: int | None = None
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One answer, and all that may explain its speed."""

    answer: JobSnapshot
    machine: Machine
    split: TimeSplit

    @classmethod
    def of(cls, answer: JobSnapshot, machine: Machine) -> Case:
        """Take an answer apart."""
        return cls(answer, machine, time_split(answer.rounds, prefill_s=answer.stats.prefill_s))

    @property
    def stats(self) -> GenerationStats:
        """The answer in numbers."""
        return self.answer.stats

    @property
    def may_draft(self) -> bool:
        """True where the engine wrote it all, and was asked to draft."""
        return self.answer.request.speculative.enabled and not self.answer.servers

    def share(self, seconds: float) -> float:
        """Return what part of the answer's time so many seconds are."""
        return ratio(seconds, self.split.total_s)


# What one kind of trouble looks like; None where there is none of it.
Rule = Callable[[Case], Advice | None]
