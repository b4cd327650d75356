"""Drafts for a target in words: where one stands, what is known of it, what could be pulled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from config import EMBEDDED, LOOKUP
from utils.chat.wording import TIMES, Badge, figure, sentence
from utils.draft_ranking import RankedDraft
from utils.vocabulary_map import Fit

# Tokens a second, speedup, and the number of answers; by model and draft.
Speed = tuple[float, float, int]
Speeds = Mapping[tuple[str, str], Speed]
# How much another vocabulary has in common is in the draft's label.
VOCABULARIES: dict[Fit, str] = {
    "same": "the vocabulary of the target",
    "tokens": "drafts in the tokens that both vocabularies have",
    "text": "writes text, which is tokenized for the target",
}


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


def draft_facts(draft: RankedDraft, known: Speed | None) -> str:
    """Return what was found out about a draft: speed in kept answers, vocabulary, if it works.

    Empty where nothing is left to tell; `known` is None where no answer was kept.
    """
    facts = [_measured(known, is_ranked_by_it=draft.is_measured and draft.is_usable)]
    if draft.name != LOOKUP and draft.verdict != "unfit":
        facts.append(VOCABULARIES[draft.fit] if draft.fit else "")
        if draft.name != EMBEDDED:
            facts.append("tried: it works" if draft.was_tried else "not tried yet")
    said = "; ".join(filter(None, facts))
    return sentence(said) if said else ""


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


def _measured(known: Speed | None, *, is_ranked_by_it: bool) -> str:
    """Say how fast the answers of chats were.

    What ranks it is another record, of all answers, which its sentence tells: no second speedup
    beside that one.
    """
    if known is None:
        return "" if is_ranked_by_it else "not measured in answers yet"
    tokens_per_second, speedup, answers = known
    said = f"{figure(tokens_per_second)} tokens/s"
    if speedup and not is_ranked_by_it:
        said += f", {speedup:.2f}{TIMES} plain"
    return f"measured in {answers} kept answer{'' if answers == 1 else 's'}: {said}"
