"""Comparisons in words: what is compared, how far it is, what came of it, and why texts part."""

from __future__ import annotations

from datetime import datetime

from config import AUTO
from utils.chat.race_snapshots import (
    RUNS_FOR_INTERVAL,
    SIDES,
    Divergence,
    Entrant,
    RaceRequest,
    RaceSnapshot,
    RaceSummary,
    Run,
    Side,
    Verdict,
    is_same_text,
    verdict,
)
from utils.chat.wording import TIMES, draft_name, figure, progress_line
from utils.storage.votes import Choice

# Logits of one position differ by about as much between passes of different width.
ROUNDING = 0.5
_SIGNS = str.maketrans({"\n": "\N{RETURN SYMBOL}", "\t": "\N{RIGHTWARDS ARROW TO BAR}"})
VERIFIERS = {"rejection": "rejection sampling", "block": "block verification"}
OWN_DRAWS = (
    "Above temperature 0 the engine and Ollama draw with random numbers of their own, so the same "
    "seed gives each another text: take temperature 0 to compare the texts too."
)
CHOICES: dict[Choice, str] = {"a": "A", "neither": "No difference", "b": "B"}


def entrant_label(entrant: Entrant) -> str:
    """Return all of how a side writes: `Speculative · lookup in the text · 4 tokens a round`."""
    if entrant.arm != "speculative":
        return entrant.arm.capitalize()
    speculative = entrant.speculative
    parts = ["Speculative"]
    if speculative.draft_model != AUTO:
        parts.append(draft_name(speculative.draft_model))
    if speculative.draft_length == "fixed":
        count = speculative.max_draft_tokens
        parts.append(f"{count} token{'s' if count > 1 else ''} a round")
    if speculative.verifier in VERIFIERS:
        parts.append(VERIFIERS[speculative.verifier])
    return " · ".join(parts)


def side_label(race: RaceSnapshot, side: Side) -> str:
    """Return what a column is called, which in a blind comparison is only its letter."""
    letter = side.upper()
    if not race.is_revealed:
        return letter
    return f"{letter}: {entrant_label(race.request.entrant(side))}"


def conditions(request: RaceRequest) -> str:
    """Say what is the same on both sides."""
    sampling = request.sampling
    return (
        f"{request.model_name or 'the target'}, temperature {sampling.temperature:g}, seed "
        f"{sampling.seed}, up to {sampling.max_tokens} tokens, {runs_in_words(request.runs_each)}"
    )


def kept_label(race: RaceSummary, began: datetime) -> str:
    """Return one line for a comparison in a list, to the second: no two are to read the same.

    `began` is when, in the time of the reader.
    """
    return f"{began.day} {began:%b %Y, %H:%M:%S} · {race.question} · {_kept_speeds(race)}"


def runs_in_words(runs_each: int) -> str:
    """Return how often each side runs."""
    return f"{runs_each} run{'s' if runs_each > 1 else ''} each"


def state_line(race: RaceSnapshot, *, stage: str = "") -> str:
    """Say how far a comparison is; `stage` is what the engine does while it loads, else empty."""
    total = 2 * race.request.runs_each
    if race.state == "running":
        number = min(len(race.runs) + 1, total)
        line = f"Run {number} of {total}"
        if race.current is None:
            return line
        is_queued = race.current.answer.state == "queued"
        waits = f"The model first: {stage}" if stage and is_queued else None
        waits = waits or progress_line(race.current.answer)
        return f"{line}: {race.current.side.upper()}" + (f". {waits}" if waits else " writes")
    if race.state == "explaining":
        return "Looking at where the texts part"
    words = {"done": "All", "stopped": "Stopped after", "failed": "Failed after"}
    return f"{words[race.state]} {len(race.runs)} of {total} runs"


def no_speed(race: RaceSnapshot, side: Side) -> str:
    """Say why a side has no speed."""
    has_begun = any(run.side == side for run in race.runs)
    if not race.is_active:
        return "no run counts" if has_begun else "did not run"
    is_on = race.current is not None and race.current.side == side
    return "no speed yet" if has_begun or is_on else "waits for its turn"


def left_out_sentence(run: Run) -> str:
    """Say why a run is not one of what its side was to be; empty where it is."""
    if not run.is_left_out:
        return ""
    reason = run.answer.reason or "no reason was given"
    if not run.has_strayed:
        return f"nothing drafted in this run, so it is left out of the comparison: {reason}"
    if run.answer.handovers:
        reason = run.answer.handovers[0].reason
        return f"more than one wrote this, so it is left out of the comparison: {reason}"
    wrote = " and ".join(run.answer.servers) or "the engine"
    return f"{wrote} wrote this, so it is left out of the comparison: {reason}"


def verdict_sentence(race: RaceSnapshot) -> str:
    """Say which side is faster, by how much, and how sure that is."""
    found = verdict(race)
    if found is None:
        return _no_verdict(race)
    faster, slower = _names(race, found)
    times = f"{found.speedup:.2f}{TIMES}"
    runs = " and ".join(map(str, found.runs)) if len(set(found.runs)) > 1 else f"{found.runs[0]}"
    if found.interval is None:
        return (
            f"{faster} was {times} as fast as {slower}, in {runs} run"
            f"{'' if runs == '1' else 's'} each. How sure that is takes {RUNS_FOR_INTERVAL} runs "
            "each to say."
        )
    low, high = found.interval
    interval = f"95% interval {low:.2f} to {high:.2f}"
    if found.is_clear:
        return f"{faster} is {times} as fast as {slower} here ({interval}, {runs} runs each)."
    return (
        f"No difference shown: {faster} was {times} as fast as {slower}, but the {interval} holds "
        f"1 ({runs} runs each)."
    )


def same_text_sentence(race: RaceSnapshot) -> str:
    """Say whether all runs wrote the same, and where not; empty before there are two to compare."""
    is_same = is_same_text(race)
    if is_same is None:
        return ""
    counted = [run for run in race.runs if run.counts]
    if is_same:
        tokens = counted[0].answer.stats.completion_tokens
        return f"Identical: all {len(counted)} runs wrote the same {tokens} tokens."
    if race.request.differs_by_draw:
        return f"The texts are not compared. {OWN_DRAWS}"
    parted = race.divergence
    return divergence_sentence(race, parted) if parted else "The texts are not the same."


def divergence_sentence(race: RaceSnapshot, parted: Divergence) -> str:
    """Say where the texts part, how close the choice was there, and why they do."""
    written = [
        f"{side.upper()} wrote {_quoted(piece)}" if piece else f"{side.upper()} ended"
        for side, piece in zip(SIDES, parted.pieces, strict=True)
    ]
    # Logits are those of a token; without them, no shared one may mean that nobody told of any.
    is_at_token = parted.shared_tokens or parted.logits is not None
    place = (
        f"token {parted.shared_tokens + 1}"
        if is_at_token
        else f"character {parted.shared_chars + 1}"
    )
    sentences = [f"The texts part at {place}: {written[0]}, {written[1]}."]
    if parted.logits is not None:
        a, b = parted.logits
        sentences.append(
            f"There the target gives these two the logits {a:.3f} and {b:.3f}, a gap of "
            f"{abs(a - b):.3f}."
        )
        if parted.top is not None and parted.top not in parted.pieces:
            sentences.append(f"It finds {_quoted(parted.top)} likelier than both.")
    elif parted.problem:
        sentences.append(f"The logits there are not known: {parted.problem}.")
    return " ".join([*sentences, *_causes(race, parted)])


def distribution_verifier(request: RaceRequest) -> str:
    """Return the name of a verifier here that keeps the distribution of answers, not the text.

    Empty where there is none, or where Ollama takes part.
    """
    if request.sampling.is_greedy or any(request.entrant(s).arm == "ollama" for s in SIDES):
        return ""
    drafting = [request.entrant(s).speculative for s in SIDES]
    names = (VERIFIERS.get(one.verifier, "") for one in drafting if one.enabled)
    return next(filter(None, names), "")


def speeds(race: RaceSnapshot) -> str:
    """Return both speeds in one line, as a chart's text for those who do not see it."""
    return "; ".join(
        f"{side_label(race, side)} {figure(race.tokens_per_second(side))} tokens/s"
        for side in SIDES
    )


def _kept_speeds(race: RaceSummary) -> str:
    if not race.is_revealed:
        return "blind, not voted on yet"
    speeds = (race.tokens_per_second_a, race.tokens_per_second_b)
    return ", ".join(
        f"{label} {figure(speed)} tokens/s" if speed else label
        for label, speed in zip((race.label_a, race.label_b), speeds, strict=True)
    )


def _no_verdict(race: RaceSnapshot) -> str:
    for side in SIDES:
        runs = [run for run in race.runs if run.side == side]
        if not race.is_active and runs and all(run.is_left_out for run in runs):
            return f"No verdict: no run of {side.upper()} was written as it was to be."
    return "No verdict yet: both sides must have run to an end once."


def _names(race: RaceSnapshot, found: Verdict) -> tuple[str, str]:
    """Return what to call the faster and the slower side: letters where labels do not tell."""
    labels = {side: entrant_label(race.request.entrant(side)) for side in SIDES}
    slower: Side = "b" if found.faster == "a" else "a"
    if labels["a"] == labels["b"]:
        return found.faster.upper(), slower.upper()
    return labels[found.faster], labels[slower]


def _quoted(piece: str) -> str:
    """Return a piece in quotes, with signs for line breaks, tabs, and spaces at its ends."""
    inner = piece.strip(" ")
    left = len(piece) - len(piece.lstrip(" "))
    right = len(piece) - left - len(inner)
    space = "\N{OPEN BOX}"
    shown = (space * left + inner + space * right).translate(_SIGNS)
    return f"\N{LEFT DOUBLE QUOTATION MARK}{shown}\N{RIGHT DOUBLE QUOTATION MARK}"


def _causes(race: RaceSnapshot, parted: Divergence) -> list[str]:
    """Return why the texts part, as far as that is known, and what can be done."""
    entrants = [race.request.entrant(side) for side in SIDES]
    is_greedy = race.request.sampling.is_greedy
    if all(entrant.arm == "ollama" for entrant in entrants):
        return ["Ollama may round otherwise from run to run."]
    if any(entrant.arm == "ollama" for entrant in entrants):
        return ["Ollama may round and cut the prompt otherwise than the engine."]
    if name := distribution_verifier(race.request):
        return [
            f"That is to be expected: {name} keeps the distribution of answers, not the text of "
            "each."
        ]
    if is_greedy and parted.gap is not None and parted.gap > ROUNDING:
        return ["That is more than rounding explains: keep the JSON of this comparison."]
    if parted.problem and not is_greedy:
        return []
    noise = "" if is_greedy else "Both draw with the same noise, and these two nearly tied. "
    return [
        f"{noise}A pass over several tokens rounds otherwise than one over a single token, and "
        "that decided; with SPECCHAT_SPECULATIVE__DETERMINISTIC all passes are equally wide, and "
        "the texts the same."
    ]
