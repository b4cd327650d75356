"""Measurements and states in words: what badge, quiet line and details say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from config import EMBEDDED, LOOKUP, SpeculativeConfig
from utils.chat.snapshots import JobSnapshot, Switch
from utils.engine.health import EngineHealth
from utils.events import ModeName
from utils.performance_monitor import Baseline, GenerationStats, ratio
from utils.pulls import PullSnapshot
from utils.startup import StartupSnapshot

TIMES = "\N{MULTIPLICATION SIGN}"
NO_TARGET = "no target is loaded; ask something, and the answer says what is wrong"
TOLD_SWITCHES = 8
PULL_ORDER = ("pulling", "waiting", "failed")
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
        parts = (f"drafted by {draft_name(drafter)}", reason)
        return Badge("Speculative", "; ".join(filter(None, parts)), "good")
    return Badge("Standard", reason or "nothing is drafted", "quiet")


def draft_name(drafter: str | None) -> str:
    """Return what a drafter is called in a sentence."""
    names = {EMBEDDED: "the embedded draft", LOOKUP: "lookup in the text"}
    return names.get(drafter, drafter) if drafter else "no draft"


def startup_line(startup: StartupSnapshot) -> str:
    """Say what is awaited since the start, and who answers meanwhile; empty when all is there."""
    if startup.is_complete:
        return ""
    if startup.awaited:
        # What moves is told first.
        told = min(startup.awaited, key=lambda pull: PULL_ORDER.index(pull.state))
        more = len(startup.awaited) - 1
        line = pull_line(told) + (f", and {more} more to come" if more else "")
    elif startup.problem:
        line = f"cannot load {startup.target}: {startup.problem}"
    else:
        line = f"loading {startup.target}" if startup.target else "asking Ollama what it has"
    return f"{line}; answering with the embedded pair meanwhile" if startup.target else line


def pull_line(pull: PullSnapshot) -> str:
    """Say how far a pull is, or what came of it."""
    if pull.state == "failed":
        again = "trying again to pull" if pull.may_pass else "cannot pull"
        return f"{again} {pull.name}: {pull.error}"
    if pull.state == "pulling":
        if pull.total_bytes and pull.share < 1:
            sizes = size_share(pull.done_bytes, pull.total_bytes)
            return f"pulling {pull.name}: {pull.share:.0%}, {sizes}"
        return f"pulling {pull.name}: {pull.status or 'asking for it'}"
    beginning = {"waiting": "waiting to pull", "done": "pulled", "cancelled": "stopped pulling"}
    return f"{beginning[pull.state]} {pull.name}"


def size_share(done_bytes: int, total_bytes: int) -> str:
    """Return two sizes in the unit that suits the larger one, as Ollama counts them."""
    if total_bytes >= 10**9:
        return f"{done_bytes / 10**9:.1f} of {total_bytes / 10**9:.1f} GB"
    return f"{done_bytes / 10**6:.0f} of {total_bytes / 10**6:.0f} MB"


def quiet_line(answer: JobSnapshot) -> str:
    """Return the one line under an answer, from the most to the least telling figure."""
    stats = answer.stats
    parts = []
    if stats.tokens_per_second:
        parts.append(f"{figure(stats.tokens_per_second)} tokens/s")
    if stats.speedup and stats.drafted:
        parts.append(f"{stats.speedup:.1f}{TIMES} plain")
    if stats.drafted:
        parts.append(f"{stats.acceptance_rate:.0%} accepted")
        parts.append(f"{stats.mean_acceptance_length:.1f} tokens a round")
    if stats.ttft_s:
        parts.append(f"first token {duration(stats.ttft_s)}")
    if stats.completion_tokens:
        parts.append(answer.writer or draft_name(answer.drafter))
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
    if answer.state == "prefilling" and not answer.prompt_total:
        return f"Waiting for the first token of {answer.writer or 'the engine'}"
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
        else "measured by the newest tokens that were decoded plain"
    )
    return (
        f"Plain decoding of this target: {figure(baseline.tokens_per_second)} tokens/s on this "
        f"machine, {when} (mean of {baseline.samples} steps)."
    )


def comparison_sentence(answer: JobSnapshot) -> str:
    """Say what the speed of an answer is compared with, or why with nothing."""
    if not answer.servers:
        return baseline_sentence(answer.stats.baseline)
    part = "a part of this answer" if answer.handovers else "this answer"
    return (
        f"No speedup is claimed: {' and '.join(answer.servers)} wrote {part}, but plain decoding "
        "is measured in the engine."
    )


def thought_label(answer: JobSnapshot, thought: str, *, is_thinking: bool) -> str:
    """Return what the fold over a thought says."""
    if is_thinking and answer.is_active:
        return "Thinking\N{HORIZONTAL ELLIPSIS}"
    if answer.thought_s is not None:
        return f"Thought for {duration(answer.thought_s)}"
    words = len(thought.split())
    return f"Thought ({words} {'word' if words == 1 else 'words'})" + (
        ", not finished" if is_thinking else ""
    )


def text_only_sentence(capabilities: Sequence[str]) -> str:
    """Say what of a model is not used here, of the capabilities that Ollama lists; else nothing."""
    names = {"vision": "see images", "tools": "call tools"}
    unused = " and ".join(name for key, name in names.items() if key in capabilities)
    return f"This model can {unused}; here it reads and writes text only." if unused else ""


def acceptance(stats: GenerationStats) -> str:
    """Return the acceptance rate of the whole answer."""
    return f"{stats.acceptance_rate:.0%} in all" if stats.drafted else "nothing drafted"


def speedup(stats: GenerationStats) -> str:
    """Return the speedup of the whole answer; what is plain itself is compared with nothing."""
    if not stats.drafted:
        return "nothing drafted"
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
    if answer.reported is not None:
        rows.insert(2, (f"{answer.reported.source}'s own count", _reported(answer)))
    if stats.drafted:
        rows.insert(2, ("Drafted", f"{stats.accepted} of {stats.drafted} tokens accepted"))
    if answer.drafter and not answer.writer:
        rows.append(("Draft", f"{draft_name(answer.drafter)}, {_draft_length(answer)}"))
    if answer.switches:
        rows.append(("Changes", "\n".join(map(switch_sentence, answer.switches[-TOLD_SWITCHES:]))))
    if answer.seed is not None:
        sampling = answer.request.sampling
        rows.append(("Sampling", f"temperature {sampling.temperature:g}, seed {answer.seed}"))
    return rows


def switch_sentence(switch: Switch) -> str:
    """Say where in an answer the mode changed, to what, and why."""
    mode = switch.mode
    if mode.writer:
        change = f"{mode.writer} went on"
    elif mode.mode == "speculative":
        change = f"drafting went on with {draft_name(mode.drafter)}"
    else:
        change = "drafting stopped"
    reason = mode.reason or ("it is expected to pay" if mode.mode == "speculative" else "")
    return f"At token {switch.at_tokens} " + ": ".join(filter(None, (change, reason)))


def _draft_length(answer: JobSnapshot) -> str:
    speculative = answer.request.speculative
    if speculative.draft_length == "fixed":
        return f"at most {speculative.max_draft_tokens} tokens a round"
    average = ratio(answer.stats.drafted, answer.stats.rounds)
    return f"as many tokens a round as pay, {average:.1f} on average"


def draft_length(stats: GenerationStats) -> str:
    """Return how much was drafted and accepted in a round of the whole answer."""
    drafted, accepted = ratio(stats.drafted, stats.rounds), ratio(stats.accepted, stats.rounds)
    return f"{drafted:.1f} drafted and {accepted:.1f} accepted on average"


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


def _reported(answer: JobSnapshot) -> str:
    numbers = answer.reported
    if numbers is None:
        return ""
    rate = figure(ratio(numbers.answer_tokens, numbers.answer_s))
    text = (
        f"{numbers.answer_tokens} tokens in {duration(numbers.answer_s)} ({rate} tokens/s), "
        f"prompt {numbers.prompt_tokens} tokens in {duration(numbers.prompt_s)}"
    )
    if numbers.load_s:
        text += f", loaded in {duration(numbers.load_s)}"
    return text + ("; of its own part" if answer.handovers else "")


def _prompt(stats: GenerationStats) -> str:
    text = f"{stats.prompt_tokens} tokens"
    if stats.reused_tokens:
        text += f", {stats.reused_tokens} still in the cache"
    return text + (f", first token after {duration(stats.ttft_s)}" if stats.ttft_s else "")
