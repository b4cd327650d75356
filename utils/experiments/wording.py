"""An experiment in words: what its figures say, and what they do not say yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from utils.chat.wording import duration, figure
from utils.experiments.effects import (
    EARLY_LEVEL,
    LEVEL,
    MIN_BROWSERS,
    POWER,
    SMALLEST_EFFECT,
    Effect,
    Metric,
    Sample,
)
from utils.experiments.rollout import Decision, Rollout
from utils.storage.votes import Vote

NOTHING = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
_UNITS = {"tokens_per_second": figure, "ttft_s": duration, "answer_s": duration}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence on drafting, and whether the figures decide: for it, against it, or not."""

    sentence: str
    is_decided: bool = False


def rollout_sentence(rollout: Rollout) -> str:
    """Say who drafts at present."""
    if rollout.is_stopped:
        return "Drafting is stopped: every answer in a chat is written in standard mode."
    if rollout.percent is None:
        return "No experiment runs: whether answers are drafted is each user's own choice."
    return (
        f"An experiment runs: about {rollout.percent}% of the browsers draft, chosen by "
        "chance, and each stays what it is."
    )


def decision_sentence(decision: Decision) -> str:
    """Say what this browser does, and why."""
    how = "drafts" if decision.enabled else "does not draft"
    match decision.why:
        case "stopped":
            return "This browser does not draft, and no other does."
        case "chosen":
            return (
                f"This browser {how}, by your own choice; its answers are left out of the figures."
            )
        case "assigned":
            return f"This browser {how}, by chance; its answers count."
        case "default":
            return f"This browser {how}, by default; its answers are left out of the figures."


def verdict(speed: Effect) -> Verdict:
    """Say what is known of the speed of drafted answers, in one sentence."""
    if not speed.answers:
        return Verdict("No answers yet: those of browsers that are assigned by chance count.")
    if not speed.standard.answers or not speed.speculative.answers:
        there, missing = "standard", "speculative"
        if speed.speculative.answers:
            there, missing = missing, there
        count = counted(speed.answers, f"{there} answer")
        return Verdict(f"Nothing to compare with yet: {count}, and no {missing} one.")
    if speed.planned_answers is None:
        return Verdict(
            f"Not enough data yet: {counted(speed.answers, 'answer')} of "
            f"{counted(speed.standard.browsers + speed.speculative.browsers, 'browser')}; each "
            f"side needs {MIN_BROWSERS} browsers or more, whose answers differ."
        )
    if speed.answers < speed.planned_answers and not speed.is_clear:
        return Verdict(
            f"Not enough data yet: {speed.answers} of ~{rounded(speed.planned_answers)} answers."
        )
    return _decided(speed)


def _decided(speed: Effect) -> Verdict:
    value, low, high = (
        1.0 if known is None else known for known in (speed.value, speed.low, speed.high)
    )
    interval = f"{low:.2f} to {high:.2f}{TIMES} with {LEVEL:.0%} confidence"
    if low > 1 or high < 1:
        return Verdict(
            f"Drafting makes answers {'faster' if low > 1 else 'slower'}: {value:.2f}{TIMES} the "
            f"tokens per second, {interval}.",
            is_decided=True,
        )
    if low > 1 / (1 + SMALLEST_EFFECT) and high < 1 + SMALLEST_EFFECT:
        return Verdict(
            f"Drafting changes the speed by less than {share(SMALLEST_EFFECT)}: {interval}.",
            is_decided=True,
        )
    return Verdict(f"No difference is certain: {interval}. More answers make it narrower.")


def plan_sentence() -> str:
    """Say how many answers are asked for, and what the intervals are good for."""
    return (
        f"With the answers asked for, a difference of {share(SMALLEST_EFFECT)} in speed shows in "
        f"{share(POWER)} of such experiments. Before, only what is certain at "
        f"{EARLY_LEVEL:.1%} counts. Answers of one browser count as related."
    )


def arm_table(effects: Sequence[Effect]) -> list[tuple[str, str, str, str]]:
    """Return rows of label, standard, speculative and effect; counts come first."""
    everything = max(effects, key=lambda effect: effect.answers)
    standard, speculative = everything.standard, everything.speculative
    counts = [
        ("Answers", f"{standard.answers:,}", f"{speculative.answers:,}", NOTHING),
        ("Browsers", f"{standard.browsers:,}", f"{speculative.browsers:,}", NOTHING),
    ]
    return counts + [
        (
            effect.metric.label,
            sample_text(effect.standard, effect.metric),
            sample_text(effect.speculative, effect.metric),
            effect_text(effect),
        )
        for effect in effects
    ]


def sample_text(sample: Sample, metric: Metric) -> str:
    """Return an arm's mean of a metric, with its unit."""
    if sample.mean is None:
        return NOTHING
    if metric.key in _UNITS:
        return _UNITS[metric.key](sample.mean)
    return f"{sample.mean:.1f}" if metric.key == "speed" else share(sample.mean)


def effect_text(effect: Effect) -> str:
    """Return an effect with its interval, as far as they are known."""
    if effect.value is None:
        return NOTHING
    text = _amount(effect.value, effect.metric)
    if effect.low is None or effect.high is None:
        return text
    ends = (_amount(end, effect.metric, unit=False) for end in (effect.low, effect.high))
    return f"{text} ({' to '.join(ends)})"


def _amount(value: float, metric: Metric, *, unit: bool = True) -> str:
    if metric.is_ratio:
        return f"{value:.2f}{TIMES if unit else ''}"
    if metric.key == "speed":
        return _signed(f"{value:+.1f}")
    return _signed(f"{100 * value:+.0f}{' points' if unit else ''}")


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def votes_sentence(votes: Sequence[Vote]) -> str:
    """Say what blind votes between standard and speculative preferred; nothing without votes."""
    between = [vote for vote in votes if {vote.arm_a, vote.arm_b} == {"standard", "speculative"}]
    if not between:
        return ""
    drafted = sum(vote.preferred == "speculative" for vote in between)
    plain = sum(vote.preferred == "standard" for vote in between)
    text = (
        f"{counted(len(between), 'blind vote')} in Compare: {drafted} for speculative, {plain} for "
        f"standard, {len(between) - drafted - plain} for neither."
    )
    if not drafted + plain:
        return text
    low, high = share_interval(drafted, drafted + plain)
    return (
        f"{text} Of those that preferred one, {share(drafted / (drafted + plain))} preferred "
        f"speculative ({share(low)} to {share(high)} with {share(LEVEL)} confidence)."
    )


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """Return the interval of a share by counting (Wilson 1927); `whole` is above 0."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    observed, weight = part / whole, z * z / whole
    middle = observed + weight / 2
    reach = z * (observed * (1 - observed) / whole + weight / (4 * whole)) ** 0.5
    low, high = ((middle + sign * reach) / (1 + weight) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def share(value: float) -> str:
    """Return a share in percent."""
    return f"{value:.0%}"


def counted(count: int, thing: str) -> str:
    """Return a count and what is counted."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def rounded(count: int) -> str:
    """Return a count that is an estimate: two digits are known."""
    return f"{round(count, 2 - len(str(count))):,}"
