"""Drafts for a target in words: where one stands, what is known of it, what could be pulled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from config import EMBEDDED, LOOKUP
from utils.chat.wording import TIMES, Badge, figure, sentence
from utils.draft_ranking import RankedDraft

# By model and draft: tokens a second, speedup, and the number of answers.
Speeds = Mapping[tuple[str, str], tuple[float, float, int]]


def draft_badge(draft: RankedDraft) -> Badge:
    """Say in a word or two whether a draft can be used, and how it ranks."""
    if draft.verdict == "unfit":
        return Badge("Cannot draft", "", "bad")
    if draft.verdict == "too large":
        return Badge("Does not fit in memory", "", "bad")
    return Badge("Best here", "", "good") if draft.rank == 1 else Badge("Fits", "", "quiet")


def draft_name(draft: RankedDraft) -> str:
    """Return a draft with its place in the ranking."""
    return f"{draft.rank}. {draft.label}" if draft.is_usable else draft.label


def draft_facts(draft: RankedDraft, target: str, speeds: Speeds) -> str:
    """Return what was found out about a draft: measured speed, vocabulary, and whether it works."""
    facts = [_measured(speeds.get((target, draft.name)))]
    if draft.name != LOOKUP and draft.verdict != "unfit":
        # Where there is little in common, its sentence says so.
        facts.append("" if draft.warning else _vocabulary(draft.overlap))
        if draft.name != EMBEDDED:
            facts.append("tried: it works" if draft.was_tried else "not tried yet")
    return sentence("; ".join(filter(None, facts)))


def suggestion_sentence(target: str, name: str, drafts: Sequence[RankedDraft]) -> str:
    """Say which model could be pulled as a draft, and why it is told."""
    why = (
        "What is installed is not expected to draft well for it"
        if any(draft.is_usable and draft.name != LOOKUP for draft in drafts)
        else "No model that is installed can draft for it"
    )
    return (
        f"{why}. {name}, from Ollama's library, is a smaller model of a related family: how well "
        f"it drafts for {target} is found out once it is here."
    )


def lacks_draft(drafts: Sequence[RankedDraft]) -> bool:
    """Tell whether no draft model is expected to do more than lookup does."""
    lookup = next((draft.speedup for draft in drafts if draft.name == LOOKUP), 1.0)
    return not any(
        draft.is_usable and draft.name != LOOKUP and draft.speedup > lookup for draft in drafts
    )


def _measured(known: tuple[float, float, int] | None) -> str:
    if known is None:
        return "not measured in answers yet"
    tokens_per_second, speedup, answers = known
    said = f"measured: {figure(tokens_per_second)} tokens/s"
    if speedup:
        said += f", {speedup:.2f}{TIMES} plain"
    return f"{said}, in {answers} answer{'' if answers == 1 else 's'}"


def _vocabulary(overlap: float) -> str:
    if overlap == 1:
        return "the vocabulary of the target"
    return f"{min(99, round(100 * overlap))}% of the vocabulary in common"
