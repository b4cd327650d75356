"""Which draft is meant by what a browser sends."""

from __future__ import annotations

import pytest

from config import AUTO
from pages.parts.draft_labels import offered_draft
from utils.draft_ranking import RankedDraft

FIT = RankedDraft("fit", "Fit", "usable", "1/9 of the size", rank=1)
BIG = RankedDraft("big", "Big", "too large", "does not fit in memory")
ODD = RankedDraft("odd", "Odd", "unfit", "vocabularies differ")


@pytest.mark.parametrize(
    ("chosen", "meant"),
    [
        ("fit", "fit"),
        ("big", "big"),
        ("Fit: too large now", "fit"),
        ("Big", "big"),
        (AUTO, AUTO),
        ("Automatic: Big", AUTO),
        ("Odd", AUTO),
        ("gone", AUTO),
    ],
)
def test_a_label_that_changed_meanwhile_still_means_its_draft(chosen: str, meant: str) -> None:
    assert offered_draft(chosen, [FIT, BIG, ODD]) == meant
