"""A comparison as a value: one prompt, two ways to answer it, and what came of every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from random import Random
from statistics import median
from typing import Literal

from config import SamplingParams, SpeculativeConfig
from utils.backends.protocol import TARGET_OF_SETTINGS, BackendName, ModelChoice
from utils.chat.snapshots import JobSnapshot
from utils.engine.protocol import ChatMessage
from utils.errors import RequestError
from utils.intervals import bootstrap_interval
from utils.performance_monitor import ratio
from utils.storage.votes import ArmName, Choice

Side = Literal["a", "b"]
RaceState = Literal["running", "explaining", "done", "stopped", "failed"]
SIDES: tuple[Side, Side] = ("a", "b")
TURNS: tuple[Side, ...] = ("a", "b", "b", "a")
MOST_RUNS = 10
MOST_TOKENS = 1024
# From two or three times only, values drawn again say little about what a next run would give.
RUNS_FOR_INTERVAL = 3


@dataclass(frozen=True, slots=True)
class Entrant:
    """One way to answer: who writes, and how is drafted."""

    speculative: SpeculativeConfig
    backend: BackendName = "auto"

    @property
    def arm(self) -> ArmName:
        """What kind of way it is."""
        if self.backend == "ollama":
            return "ollama"
        return "speculative" if self.speculative.enabled else "standard"


@dataclass(frozen=True, slots=True)
class RaceRequest:
    """What is compared; both sides get the same prompt, sampling and seed from the same model.

    Raises `RequestError` where it cannot be compared as asked.
    """

    messages: tuple[ChatMessage, ...]
    sampling: SamplingParams
    a: Entrant
    b: Entrant
    runs_each: int = 4
    model: ModelChoice = TARGET_OF_SETTINGS
    model_name: str = ""
    owner: str = ""
    is_blind: bool = False

    def __post_init__(self) -> None:
        """Check what came from a page."""
        if not self.question.strip():
            raise RequestError("the prompt is empty: type one, or take one of the suite")
        if not 1 <= self.runs_each <= MOST_RUNS:
            raise RequestError(
                f"{self.runs_each} runs each cannot be compared: choose 1 to {MOST_RUNS}"
            )
        if self.sampling.max_tokens > MOST_TOKENS:
            raise RequestError(
                f"answers of {self.sampling.max_tokens} tokens are too long to compare: choose "
                f"{MOST_TOKENS} at most"
            )
        if self.sampling.seed is None:
            raise RequestError("there is no seed: both sides need the same, choose a number")

    @property
    def question(self) -> str:
        """The last thing that was asked."""
        return self.messages[-1].content if self.messages else ""

    @property
    def order(self) -> tuple[Side, ...]:
        """Whose turn it is: A B B A and so on, so that drift of the machine hits both alike."""
        return tuple(TURNS[n % len(TURNS)] for n in range(2 * self.runs_each))

    @property
    def differs_by_draw(self) -> bool:
        """True where the sides draw with other random numbers, though the seed is the same."""
        is_mixed = (self.a.backend == "ollama") != (self.b.backend == "ollama")
        return is_mixed and not self.sampling.is_greedy

    def entrant(self, side: Side) -> Entrant:
        """Return how a side answers."""
        return self.a if side == "a" else self.b


@dataclass(frozen=True, slots=True)
class Run:
    """One answer of one side."""

    side: Side
    entrant: Entrant
    answer: JobSnapshot

    @property
    def has_strayed(self) -> bool:
        """True where another wrote, all or a part, than was to: Ollama, or the engine for it."""
        wrote = self.answer.stats.completion_tokens > 0
        is_other = bool(self.answer.servers) != (self.entrant.backend == "ollama")
        return wrote and (is_other or bool(self.answer.handovers))

    @property
    def has_lost_draft(self) -> bool:
        """True where it was to be drafted and went on without: a mere pause keeps its drafter."""
        is_plain = self.answer.mode == "standard" and self.answer.drafter is None
        return self.entrant.arm == "speculative" and is_plain

    @property
    def is_left_out(self) -> bool:
        """True where it was not written as it was to be."""
        return self.has_strayed or self.has_lost_draft

    @property
    def counts(self) -> bool:
        """True where it ran to its end as it was to, so that its speed is one to compare."""
        wrote = self.answer.state == "done" and self.answer.stats.completion_tokens > 0
        return wrote and not self.is_left_out


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where two answers part: after `shared_tokens` (0 where not known) and `shared_chars`.

    `pieces` are what A and B wrote there: tokens, or words where the logits are not known, and
    nothing where one had ended. `before` is what both wrote in front. `logits` are the target's for
    the two tokens, `top` the token that it finds likeliest; None where they are not known, and
    `problem` says why.
    """

    shared_tokens: int
    shared_chars: int
    pieces: tuple[str, str]
    before: str = ""
    logits: tuple[float, float] | None = None
    top: str | None = None
    problem: str = ""

    @property
    def gap(self) -> float | None:
        """How far apart the logits are."""
        return abs(self.logits[0] - self.logits[1]) if self.logits else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many times as fast `faster` is as the other, with a 95% interval where there is one.

    An interval that holds 1 shows no difference.
    """

    faster: Side
    speedup: float
    interval: tuple[float, float] | None
    runs: tuple[int, int]

    @property
    def is_clear(self) -> bool:
        """True where the interval leaves out that both are equally fast."""
        return self.interval is not None and self.interval[0] > 1


@dataclass(frozen=True, slots=True)
class RaceSnapshot:
    """A comparison at one moment: the runs that have ended, in order, and the `current` one.

    `started_at` is seconds since the epoch.
    """

    id: str
    state: RaceState
    request: RaceRequest
    started_at: float
    runs: tuple[Run, ...] = ()
    current: Run | None = None
    divergence: Divergence | None = None
    vote: Choice | None = None
    error: str = ""

    @property
    def is_active(self) -> bool:
        """True while more may come."""
        return self.state in ("running", "explaining")

    @property
    def is_revealed(self) -> bool:
        """True where it may be told which side is which."""
        return not self.request.is_blind or self.vote is not None

    @property
    def may_vote(self) -> bool:
        """True from when there is an answer of both sides, until somebody has voted."""
        return not self.is_revealed and all(self.ended(side) for side in SIDES)

    def voted(self, choice: Choice) -> RaceSnapshot:
        """Return it with the vote of whoever saw it blind, or raise `RequestError`."""
        if not self.may_vote:
            raise RequestError("there is nothing to vote on: both answers must be there first")
        return replace(self, vote=choice)

    def ended(self, side: Side) -> tuple[Run, ...]:
        """Return the runs of a side that count."""
        return tuple(run for run in self.runs if run.side == side and run.counts)

    def shown(self, side: Side) -> JobSnapshot | None:
        """Return the answer of a side that is shown: its first one, as it stands."""
        known = [*self.runs, *([self.current] if self.current else [])]
        return next((run.answer for run in known if run.side == side), None)

    def tokens_per_second(self, side: Side) -> float:
        """Return the median speed of a side; before it has any, that of its run that is on, or 0.

        A run that does not count has no speed of its side.
        """
        ended, run = self.ended(side), self.current
        if ended:
            return ratio(1, median(_seconds(ended)))
        if run is None or run.side != side or run.is_left_out:
            return 0.0
        return run.answer.stats.tokens_per_second


@dataclass(frozen=True, slots=True)
class RaceSummary:
    """A comparison in a list; speeds are medians, 0 where a side has none yet.

    Unless `is_revealed`, nobody is to see which side is which. `started_at` is seconds since the
    epoch.
    """

    id: str
    started_at: float
    question: str
    label_a: str
    label_b: str
    tokens_per_second_a: float
    tokens_per_second_b: float
    is_revealed: bool


def verdict(race: RaceSnapshot) -> Verdict | None:
    """Compare the medians of both sides; None before each has run to an end."""
    a, b = (_seconds(race.ended(side)) for side in SIDES)
    if not a or not b:
        return None
    faster: Side = "a" if median(a) <= median(b) else "b"
    fast, slow = (a, b) if faster == "a" else (b, a)

    def redraw(rng: Random) -> float:
        return ratio(median(rng.choices(slow, k=len(slow))), median(rng.choices(fast, k=len(fast))))

    is_enough = min(len(a), len(b)) >= RUNS_FOR_INTERVAL
    interval = bootstrap_interval(redraw) if is_enough else None
    return Verdict(faster, ratio(median(slow), median(fast)), interval, (len(a), len(b)))


def is_same_text(race: RaceSnapshot) -> bool | None:
    """Tell whether all runs wrote the same; None before both sides have."""
    if not all(race.ended(side) for side in SIDES):
        return None
    return len({run.answer.text for run in race.runs if run.counts}) == 1


def positions(race: RaceSnapshot) -> tuple[float, float]:
    """Return how far both sides are in a race begun at the same time, 0 to 1.

    They run one after the other: the side that waits is where its last run that counts was at that
    time. At the end it is the moment when the faster one arrives.
    """
    lasts = [_last(race, side) for side in SIDES]
    goal = max((run.answer.stats.completion_tokens for run in race.runs if run.counts), default=0)
    goal = goal or race.request.sampling.max_tokens
    if race.current is not None:
        elapsed_s = race.current.answer.stats.decode_s
    else:
        elapsed_s = min((run.answer.stats.decode_s for run in lasts if run), default=0.0)
    shares = [ratio(tokens_at(run.answer, elapsed_s), goal) if run else 0.0 for run in lasts]
    return min(1.0, shares[0]), min(1.0, shares[1])


def tokens_at(answer: JobSnapshot, elapsed_s: float) -> float:
    """Return how many tokens an answer had after a time of decoding."""
    ends_s = list(accumulate(stats.total_s for stats in answer.rounds))
    done = len(list(takewhile(lambda end_s: end_s <= elapsed_s + 1e-9, ends_s)))
    return sum(stats.emitted for stats in answer.rounds[:done])


def _last(race: RaceSnapshot, side: Side) -> Run | None:
    if race.current is not None and race.current.side == side:
        return race.current
    return next(reversed(race.ended(side)), None)


def _seconds(runs: Sequence[Run]) -> list[float]:
    return [run.answer.stats.tpot_s for run in runs]
