"""Measurements of several answers in words: what the Performance page says, and its charts mean."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from config import EMBEDDED
from utils.chat.answer_groups import AnswerGroup, speed_of, speedup_of
from utils.chat.answer_history import AnswerFigures
from utils.chat.wording import TIMES, draft_name, duration, figure
from utils.cost_table import LEAST_OF_PLAIN
from utils.engine.figures import DraftFigures
from utils.performance_monitor import RoundStats, ratio
from utils.round_figures import Place, TimeSplit
from utils.sizes import size

UNKNOWN = "-"
LEAST_SHARE = 0.005
LEAST_FACTOR = 1.05


def model_name(name: str) -> str:
    """Return what a target is called."""
    return "Embedded target" if name == EMBEDDED else name or "unknown model"


def drafting(group: AnswerGroup) -> str:
    """Return what drafted in a group, or who wrote instead."""
    if group.drafter:
        return draft_name(group.drafter)
    return "none, in Ollama" if group.backend == "ollama" else "none"


def group_label(group: AnswerGroup) -> str:
    """Return a group as a choice shows it; the same however many answers it gets."""
    return f"{model_name(group.model)}, draft: {drafting(group)}"


def group_row(group: AnswerGroup) -> dict[str, str]:
    """Return a group as a row of a table."""
    return {
        "Model": model_name(group.model),
        "Draft": drafting(group),
        "Answers": f"{len(group.answers)}" + (f", {group.failed} failed" if group.failed else ""),
        "Tokens/s": figure(group.tokens_per_second) if group.tokens_per_second else UNKNOWN,
        "Speedup": f"{group.speedup:.2f}{TIMES}" if _is_compared(group) else UNKNOWN,
        "Accepted": f"{group.acceptance_rate:.0%}" if group.drafted else UNKNOWN,
        "Tokens a round": f"{group.tokens_a_round:.1f}" if group.tokens_a_round else UNKNOWN,
        "First token": duration(group.ttft_s) if group.ttft_s else UNKNOWN,
    }


def answer_label(number: int, answer: AnswerFigures) -> str:
    """Return an answer as a choice shows it: its number, when it began, how fast it came."""
    began = datetime.fromtimestamp(answer.started_at).astimezone()
    parts = [f"{number}: {began:%d %b, %H:%M}"]
    if answer.completion_tokens:
        parts.append(f"{answer.completion_tokens:,} tokens")
    if speed := speed_of(answer):
        parts.append(f"{figure(speed)} tokens/s")
    if answer.drafted and (speedup := speedup_of(answer)):
        parts.append(f"{speedup:.1f}{TIMES} plain")
    if answer.state in ("failed", "stopped"):
        parts.append(answer.state)
    return " · ".join(parts)


def places_sentence(places: Sequence[Place]) -> str:
    """Say how acceptance falls along a draft."""
    if not places:
        return "Nothing was drafted."
    first, last = places[0], places[-1]
    said = f"The first token of a draft was kept {first.rate:.0%} of the time"
    if last is first:
        return f"{said}."
    return f"{said}, one at place {last.number}: {last.rate:.0%}."


def lengths_sentence(counts: Sequence[int], rounds: Sequence[RoundStats]) -> str:
    """Say how many tokens rounds with drafts kept, and how many went without."""
    plain = sum(not stats.drafted for stats in rounds)
    without = f" {plain:,} of {len(rounds):,} rounds drafted nothing." if plain else ""
    if not counts:
        return f"Nothing was drafted.{without}"
    kept = sum(length * count for length, count in enumerate(counts))
    return f"A round with drafts kept {ratio(kept, sum(counts)):.1f} of them on average.{without}"


def timeline_sentence(rounds: Sequence[RoundStats]) -> str:
    """Say how much was drafted and kept in a round."""
    if not rounds:
        return "No rounds were kept of it."
    drafted = ratio(sum(stats.drafted for stats in rounds), len(rounds))
    accepted = ratio(sum(stats.accepted for stats in rounds), len(rounds))
    return f"Drafted {drafted:.1f} tokens a round (line), kept {accepted:.1f} (area)."


def time_parts(split: TimeSplit) -> list[tuple[str, float, str]]:
    """Return the parts of the time: name, seconds, and both in words with the share."""
    parts = [
        ("Verify", split.verify_s),
        ("Draft", split.draft_s),
        ("Other", split.other_s),
        ("Prompt", split.prefill_s),
    ]
    return [
        (name, seconds, f"{duration(seconds)}, {ratio(seconds, split.total_s):.0%}")
        for name, seconds in parts
        if seconds >= LEAST_SHARE * split.total_s > 0
    ]


def time_sentence(split: TimeSplit) -> str:
    """Say where the time went, the largest part first."""
    parts = sorted(time_parts(split), key=lambda part: -part[1])
    if not parts:
        return "No time was measured."
    said = "; ".join(f"{name.lower()} {words}" for name, _, words in parts)
    return said[0].upper() + said[1:] + "."


def costs_sentence(costs: Sequence[tuple[int, float]], chosen_length: int | None) -> str:
    """Say what a wide pass costs beside a plain one, and what is drafted because of it."""
    times = dict(costs)
    plain = times.get(1, 0.0)
    widest = max((width for width in times if width <= 8), default=1)
    if not plain or widest == 1:
        return "What passes cost is measured when the model is loaded."
    factor = times[widest] / plain
    long = f"{factor:.1f} times as long" if factor >= LEAST_FACTOR else "about as long"
    said = f"A pass over {widest} tokens takes {long} as over one ({duration(plain)})."
    if factor < LEAST_OF_PLAIN:
        said += (
            f" It was measured to take {factor:.1f} times as long, which cannot be: the machine "
            "was busy. Answers to come put that right."
        )
    if chosen_length is None:
        return said
    drafted = f"{chosen_length or 'no'} drafted token{_s(chosen_length)}"
    return f"{said} Most often {drafted} went into one (the upright line)."


def expectation(draft: DraftFigures) -> str:
    """Say what the engine expects of a way to draft now, and how much of it pays best."""
    said = []
    if draft.token_s:
        said.append(
            f"{draft.acceptance:.0%} of its guesses are expected to be kept, at "
            f"{duration(draft.token_s)} a token"
        )
    if draft.lookup_judged:
        kept = "" if said else " are expected to be kept"
        said.append(f"{draft.lookup_acceptance:.0%} of copied tokens{kept}")
    best = draft.best_length
    what = f"{best} token{_s(best)} a round" if best else "drafting nothing"
    said.append(f"{what} would pay best now")
    name = draft_name(draft.name)
    return f"{name[0].upper()}{name[1:]}: {'; '.join(said)}."


def memory_sentence(parts: Sequence[tuple[str, int]], available_bytes: int | None) -> str:
    """Say what takes the memory of the engine, and what the machine has left."""
    left = "" if available_bytes is None else f" {size(available_bytes)} are left on this machine."
    if not parts:
        return f"The engine holds another model now, or none.{left}"
    said = ", ".join(f"{name.lower()} {size(count)}" for name, count in parts if count)
    return f"{size(sum(count for _, count in parts))} in all: {said}.{left}"


def speeds_sentence(group: AnswerGroup) -> str:
    """Say how fast the answers of a group came."""
    if not group.tokens_per_second:
        return "No speed was measured."
    plain = f", {group.speedup:.2f}{TIMES} plain (dotted)" if _is_compared(group) else ""
    speed = figure(group.tokens_per_second)
    count = len(group.written)
    said = f"{speed} tokens/s" if count == 1 else f"Median of {count} answers: {speed} tokens/s"
    return f"{said}{plain}."


def _is_compared(group: AnswerGroup) -> bool:
    """Tell whether there is a speedup to speak of: what drafted nothing is plain itself."""
    return bool(group.drafted and group.speedup)


def _s(count: int) -> str:
    return "" if count == 1 else "s"
