"""How likely the target keeps a drafted token, learnt from what it kept of similar ones."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

PRIOR_TOKENS = 8.0
MEMORY_TOKENS = 400.0
FADE = 1 - 1 / MEMORY_TOKENS
FIRST_GUESS = 0.85
NEWEST_SHARE = 0.04
# What an answer shows counts as much as what is usual after so many tokens, and fades with others.
USUAL_TOKENS, ANSWER_TOKENS = 10.0, 60.0
ANSWER_FADE = 1 - 1 / ANSWER_TOKENS
# A token that is reached is the likelier right the more were right before it. Classes of places in
# a draft begin here, and what is known of all places counts as so many tokens in each.
PLACES, PLACE_TOKENS = (1, 3, 7), 20.0
# What is usual is what so many answers showed; the first guess counts as one.
USUAL_ANSWERS = 5.0


class Acceptance:
    """Acceptance rates by the value of one feature and the place in the draft, older ones fading.

    Each bin starts from a prior that weighs as much as `PRIOR_TOKENS` observations. `expected` is
    for tokens that are not drafted yet, whatever their feature may be: it is learnt anew with each
    answer, from what is usual of answers.
    """

    def __init__(self, edges: Sequence[float], priors: Sequence[float]) -> None:
        """`edges` ascending; `priors` has one value more."""
        self._edges = list(edges)
        self._priors = list(priors)
        self._kept = [PRIOR_TOKENS * prior for prior in priors]
        self._seen = [PRIOR_TOKENS for _ in priors]
        self._rates = list(priors)
        # Of each bin, what was kept and seen by class of place.
        self._placed = [[(0.0, 0.0)] * (len(PLACES) + 1) for _ in priors]
        self._newest = self._usual = FIRST_GUESS
        self._answer_kept = self._answer_seen = 0.0
        self._usual_tokens = USUAL_TOKENS
        self._usual_answers = 1.0
        self.observed = 0

    @property
    def expected(self) -> float:
        """The rate to be expected in this answer."""
        kept = self._usual_tokens * self._usual + self._answer_kept
        return kept / (self._usual_tokens + self._answer_seen)

    @property
    def newest(self) -> float:
        """The rate of the newest tokens."""
        return self._newest

    def begin_answer(self) -> None:
        """Take the answer before for one of many: another one is another text."""
        if self._answer_seen:
            weight = self._answer_seen / ANSWER_TOKENS
            self._usual_answers = min(self._usual_answers, USUAL_ANSWERS) + weight
            share = weight / self._usual_answers
            self._usual += share * (self._answer_kept / self._answer_seen - self._usual)
        self._usual_tokens = USUAL_TOKENS
        self._answer_kept = self._answer_seen = 0.0

    def rate(self, feature: float, place: int | None = None) -> float:
        """Return the probability that a token with this feature is kept, in this place or any."""
        index = bisect_right(self._edges, feature)
        usual = self._rates[index]
        if place is None:
            return usual
        kept, seen = self._placed[index][bisect_right(PLACES, place)]
        return (kept + PLACE_TOKENS * usual) / (seen + PLACE_TOKENS)

    def learn(self, judged: Iterable[tuple[float, bool]], *, first: int | None = None) -> None:
        """Take in tokens that the target judged: the feature of each, and whether it was kept.

        Those of a draft stand side by side, from place `first` on.
        """
        for offset, (feature, was_kept) in enumerate(judged):
            index = bisect_right(self._edges, feature)
            if first is not None:
                placed, place = self._placed[index], bisect_right(PLACES, first + offset)
                kept, seen = placed[place]
                placed[place] = kept * FADE + was_kept, seen * FADE + 1
            seen = self._seen[index] = self._seen[index] * FADE + 1
            kept = self._kept[index] = self._kept[index] * FADE + was_kept
            self._rates[index] = kept / seen
            self._newest += NEWEST_SHARE * (was_kept - self._newest)
            self._usual_tokens *= ANSWER_FADE
            self._answer_kept = self._answer_kept * ANSWER_FADE + was_kept
            self._answer_seen = self._answer_seen * ANSWER_FADE + 1
            self.observed += 1

    def curve(self) -> list[tuple[float, float]]:
        """Return the lower edge and the rate of each bin."""
        return list(zip([-math.inf, *self._edges], self._rates, strict=True))


def of_margins() -> Acceptance:
    """Return rates by the margin of a model's pick over its runner-up, in logits.

    With shared noise, draft and target differ only where the difference of their logits exceeds
    the margin, so that it says more than the probability of the token.
    """
    edges = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
    middles = (0.05, *((a + b) / 2 for a, b in itertools.pairwise(edges)), 12.0)
    return Acceptance(edges, [0.35 + 0.63 * (1 - math.exp(-0.8 * m)) for m in middles])


def of_matches() -> Acceptance:
    """Return rates by the length of the match that a lookup copies from, in tokens."""
    return Acceptance(
        (3, 4, 5, 6, 8, 12, 16, 24, 32, 48),
        (0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95),
    )
