"""Measurements and states in words: what badge, quiet line and details say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from config import EMBEDDED, SpeculativeConfig
from utils.chat.snapshots import JobSnapshot
from utils.engine.health import EngineHealth
from utils.events import ModeName
from utils.performance_monitor import Baseline, GenerationStats

TIMES = "\N{MULTIPLICATION SIGN}"
NO_TARGET = "no target is loaded; ask something, and the answer says what is wrong"
Tone = Literal["good", "quiet", "busy", "bad"]


@dataclass(frozen=True, slots=True)
class Badge:
    """The mode in a word or two, and why."""

    label: str
    reason: str
    tone: Tone


def badge(
    engine: EngineHealth,
    speculative: SpeculativeConfig,
    answer: JobSnapshot | None,
    *,
    draft: str,
) -> Badge:
    """Say what happens now, or would happen to the next question, and why.

    `answer` is the one being written, None where none is; `draft` is the chosen draft's label.
    """
    if not engine.live:
        reason = engine.reason or "it has not been started"
        return Badge(f"Engine {engine.state}", f"{reason}; ask something to try again", "bad")
    if not engine.ready and engine.state in ("ready", "busy"):
        return Badge("No answers", engine.reason or NO_TARGET, "bad")
    if not engine.ready:
        return Badge(engine.state.capitalize(), engine.reason or engine.stage or "a moment", "busy")
    if answer is not None and answer.mode is not None:
        return _mode_badge(answer.mode, answer.drafter, answer.reason)
    if not speculative.enabled:
        return Badge("Standard", "speculative decoding is switched off", "quiet")
    return Badge("Speculative", f"the next answer is drafted by: {draft}", "good")


def _mode_badge(mode: ModeName, drafter: str | None, reason: str) -> Badge:
    if mode == "speculative":
        return Badge("Speculative", reason or f"drafted by {draft_name(drafter)}", "good")
    return Badge("Standard", reason or "nothing is drafted", "quiet")


def draft_name(drafter: str | None) -> str:
    """Return what a drafter is called in a sentence."""
    return "the embedded draft" if drafter == EMBEDDED else drafter or "no draft"


def quiet_line(answer: JobSnapshot) -> str:
    """Return the one line under an answer, from the most to the least telling figure."""
    stats = answer.stats
    parts = []
    if stats.tokens_per_second:
        parts.append(f"{figure(stats.tokens_per_second)} tokens/s")
    if stats.speedup:
        parts.append(f"{stats.speedup:.1f}{TIMES} plain")
    if stats.drafted:
        parts.append(f"{stats.acceptance_rate:.0%} accepted")
        parts.append(f"{stats.mean_acceptance_length:.1f} tokens a round")
    if stats.ttft_s:
        parts.append(f"first token {duration(stats.ttft_s)}")
    if stats.completion_tokens:
        parts.append(draft_name(answer.drafter))
    if answer.state == "stopped":
        parts.append("stopped" if parts else "stopped before the first token")
    if answer.finish_reason == "length":
        parts.append("cut at the token limit")
    return " · ".join(parts)


def progress_line(answer: JobSnapshot) -> str:
    """Return what an answer without text yet is waiting for; empty once text flows."""
    if answer.state == "queued":
        place = {0: "for the engine", 1: "as next in the queue"}
        number = answer.queue_position
        return f"Waiting {place.get(number, f'as number {number} in the queue')}"
    if answer.state == "prefilling":
        return f"Reading the prompt: {answer.prompt_done} of {answer.prompt_total} tokens"
    return ""


def prompt_share(answer: JobSnapshot) -> float:
    """Return the share of the prompt that is read, 0 to 1."""
    return min(1.0, answer.prompt_done / answer.prompt_total) if answer.prompt_total else 0.0


def baseline_sentence(baseline: Baseline) -> str:
    """Say how fast plain decoding is here, and how and when that was measured."""
    if baseline.origin == "none":
        return "Plain decoding of this target has not been measured yet, so no speedup is claimed."
    when = (
        "measured by a short calibration when the model was loaded"
        if baseline.origin == "calibration"
        else "measured at load and refined by the steps and passes of this answer"
    )
    return (
        f"Plain decoding of this target: {figure(baseline.tokens_per_second)} tokens/s on this "
        f"machine, {when} (median of {baseline.samples} steps)."
    )


def acceptance(stats: GenerationStats) -> str:
    """Return the acceptance rate of the whole answer."""
    return f"{stats.acceptance_rate:.0%} in all" if stats.drafted else "nothing drafted"


def speedup(stats: GenerationStats) -> str:
    """Return the speedup of the whole answer."""
    return f"{stats.speedup:.2f}{TIMES} plain in all" if stats.speedup else "not known yet"


def detail_rows(answer: JobSnapshot) -> list[tuple[str, str]]:
    """Return what the details under an answer list, as names and values."""
    stats = answer.stats
    rows = [
        ("Tokens", f"{stats.completion_tokens} in {stats.rounds} rounds"),
        ("Speed", f"{figure(stats.tokens_per_second)} tokens/s, {duration(stats.tpot_s)} a token"),
        ("Prompt", _prompt(stats)),
        ("Mode", ": ".join(filter(None, (answer.mode or "not begun", answer.reason)))),
    ]
    if stats.drafted:
        rows.insert(2, ("Drafted", f"{stats.accepted} of {stats.drafted} tokens accepted"))
    if answer.mode == "speculative":
        most = answer.request.speculative.max_draft_tokens
        rows.append(("Draft", f"{draft_name(answer.drafter)}, at most {most} tokens a round"))
    if answer.seed is not None:
        sampling = answer.request.sampling
        rows.append(("Sampling", f"temperature {sampling.temperature:g}, seed {answer.seed}"))
    return rows


def figure(value: float) -> str:
    """Return a rate with three digits or so."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """Return a duration in the unit that reads best."""
    if seconds < 0.01:
        return f"{1000 * seconds:.1f} ms"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def sentence(error: str) -> str:
    """Return an error as a sentence: capital first, full stop last."""
    text = error.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _prompt(stats: GenerationStats) -> str:
    text = f"{stats.prompt_tokens} tokens"
    if stats.reused_tokens:
        text += f", {stats.reused_tokens} still in the cache"
    return text + (f", first token after {duration(stats.ttft_s)}" if stats.ttft_s else "")
