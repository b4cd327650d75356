"""What the choice of a draft says of each, and which of them is meant."""

from __future__ import annotations

from config import AUTO
from utils.draft_ranking import RankedDraft, best_draft


def draft_labels(drafts: list[RankedDraft]) -> dict[str, str]:
    """Return what can be chosen, by name, as the choice shows it; empty where nothing drafts."""
    best = best_draft(drafts)
    if best is None:
        return {}
    offered = {
        draft.name: _labels(draft)[0 if draft.is_usable else 1]
        for draft in drafts
        if draft.verdict != "unfit"
    }
    return {AUTO: f"Automatic: {best.label}", **offered}


def offered_draft(chosen: str, drafts: list[RankedDraft]) -> str:
    """Return the name that was chosen of those offered, or automatic choice.

    A browser that has not seen yet that a label changed sends the old one.
    """
    if chosen in draft_labels(drafts):
        return chosen
    named = {label: draft.name for draft in drafts for label in _labels(draft)}
    name = named.get(chosen, AUTO)
    return name if name in draft_labels(drafts) else AUTO


def draft_warning(drafts: list[RankedDraft], chosen: str) -> str:
    """Return what to expect of the chosen draft where that is less than usual."""
    best = best_draft(drafts)
    name = best.name if best is not None and chosen == AUTO else chosen
    return next((draft.warning for draft in drafts if draft.name == name), "")


def ranking_label(count: int) -> str:
    """Return the title of the ranking."""
    return "What can draft here" if count == 1 else f"How the {count} drafts rank here"


def _labels(draft: RankedDraft) -> tuple[str, str]:
    return draft.label, f"{draft.label}: too large now"
