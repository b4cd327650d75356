"""What a pass of the target costs by its width: measured at load, kept true while running.

Times are in seconds at a reference pace. How much slower the machine is at the moment is one
number, `pace`, so that a busy machine slows every choice alike and changes none.

A pass over one token is faster in a row of such (`plain_s`) than between drafts and wider passes
(`seconds(1)`): the weights of a small model then stay in the processor's caches.

What several tokens cost beside one depends on how many threads are to be had at the moment, for all
widths alike. So a pass over several that comes soon after plain ones tells of all such.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

PACE_SHARE = 0.1
WIDTH_SHARE, SEVERAL_SHARE = 0.02, 0.1
LARGEST_SURPRISE, LARGEST_FIRST_SURPRISE = 1.5, 2.0
SLOWER_SHARE = 1 / 3
DEPTH_STEP = 64
FIRST_SHARE = 0.5
# An odd number has a middle.
PLAIN_PASSES, FRESH_PASSES = 3, 8
# What is measured while others are busy may be far too much, and is never tried again if believed.
MOST_FOR_A_TOKEN, MOST_FOR_OTHER_KERNELS = 0.6, 1.0
# More work takes no less time; what is measured of the same varies by so much.
LEAST_OF_PLAIN = 0.9

# Seconds by width, by the number of tokens in the cache.
PassTimes = Mapping[int, Mapping[int, float]]


class CostTable:
    """Seconds of a pass over 1 to `max_width` tokens, at the depth it was last moved to."""

    def __init__(self, measured: PassTimes, *, max_width: int) -> None:
        """`measured` holds width 1 and others at one depth or two.

        Between them, and beyond, costs are straight lines.
        """
        self._depths = sorted(measured)[:2]
        self._tables = [_by_width(measured[depth], max_width) for depth in self._depths]
        # The first is that of plain passes, then those of widths 1, 2...
        self._corrections = [1.0] * (max_width + 1)
        self._notes = [0] * (max_width + 1)
        # How much longer than known the newest plain passes took.
        self._plain: deque[float] = deque(maxlen=PLAIN_PASSES)
        self._since_plain = 0
        self._several_notes = 0
        self.depth = -DEPTH_STEP
        self._seconds: list[float] = []
        self.max_width = max_width
        self.pace = 1.0
        self.move_to(self._depths[0])

    def move_to(self, depth: int) -> None:
        """Take the costs at that many tokens in the cache."""
        if abs(depth - self.depth) < DEPTH_STEP:
            return
        self.depth = depth
        self._refresh()

    def seconds(self, width: int) -> float:
        """Return the cost of a pass over exactly so many tokens."""
        return self._seconds[width]

    @property
    def plain_s(self) -> float:
        """The cost of a pass over one token that follows another such."""
        return self._seconds[0]

    @property
    def plain_notes(self) -> int:
        """How many passes over one token that followed another such were learnt from."""
        return self._notes[0]

    def padded_width(self, width: int, limit: int) -> int:
        """Return the width from `width` up to `limit` whose pass costs least."""
        if limit <= width or width > self.max_width:
            return width
        costs = self._seconds[width : limit + 1]
        return width + costs.index(min(costs))

    def note(self, width: int, seconds: float, *, is_plain: bool = False) -> None:
        """Learn from a pass. One slow pass says little, so its surprise is clipped.

        Rows of plain passes set the pace, and what comes soon after them is judged by it. Without
        such, pace and cost take in the same surprise: a spike pushes both up, and as the pace comes
        back so does the cost. Clipped further, it would sink with each spike.
        """
        if not 1 <= width <= self.max_width or seconds <= 0:
            return
        place = 0 if is_plain else width
        slowness = seconds / self._seconds[place]
        if is_plain:
            self._plain.append(slowness)
            self._since_plain = 0
            self._notes[place] += 1
        else:
            self._since_plain += 1
            self._learn(place, slowness)
        if is_plain or not self._has_plain:
            self.pace *= _lessened(slowness / self.pace) ** PACE_SHARE

    @property
    def _has_plain(self) -> bool:
        """Tell whether it is known how slow plain passes were just now."""
        return len(self._plain) == PLAIN_PASSES and self._since_plain <= FRESH_PASSES

    def _learn(self, place: int, slowness: float) -> None:
        """Correct the cost of one width, and of all wide ones where there is something beside."""
        if not self._has_plain:
            surprise = _lessened(slowness / self.pace)
            self._correct(slice(place, place + 1), surprise**WIDTH_SHARE)
            return
        surprise = slowness / sorted(self._plain)[PLAIN_PASSES // 2]
        if place > 1:
            self._several_notes += 1
            share = max(SEVERAL_SHARE, FIRST_SHARE / self._several_notes)
            factor = _part(surprise, share, SEVERAL_SHARE)
            self._correct(slice(2, None), factor)
            surprise /= factor
        self._notes[place] += 1
        share = max(WIDTH_SHARE, FIRST_SHARE / self._notes[place] ** 2)
        # One token takes as long as the plain ones that it is judged by, and is disturbed as often.
        least = WIDTH_SHARE if place > 1 else 0.0
        self._correct(slice(place, place + 1), _part(surprise, share, least))

    def _correct(self, places: slice, factor: float) -> None:
        for known in (self._corrections, self._seconds):
            known[places] = [factor * value for value in known[places]]

    @property
    def depths(self) -> tuple[int, ...]:
        """Tokens in the cache where passes were measured."""
        return tuple(self._depths)

    def at(self, depth: int) -> list[float]:
        """Return the costs of passes over 1 to `max_width` tokens with so many in the cache."""
        return self._at(depth)[1:]

    def _at(self, depth: int) -> list[float]:
        low = self._tables[0]
        if len(self._tables) > 1:
            share = (depth - self._depths[0]) / (self._depths[1] - self._depths[0])
            # Deeper never costs less, whatever noise says.
            low = low + max(0.0, share) * np.maximum(0.0, self._tables[1] - low)
        return [float(value) for value in np.insert(low, 0, low[0]) * self._corrections]

    def _refresh(self) -> None:
        self._seconds = self._at(self.depth)


def is_sound(measured: PassTimes) -> bool:
    """Tell whether measured costs can be used: width 1 included, all positive and finite."""
    return bool(measured) and all(
        depth >= 0
        and 1 in times
        and all(width >= 1 and math.isfinite(s) and s > 0 for width, s in times.items())
        for depth, times in measured.items()
    )


def is_plausible(measured: PassTimes) -> bool:
    """Tell whether no pass took much less time than one over a single token at its depth."""
    return all(min(times.values()) >= LEAST_OF_PLAIN * times[1] for times in measured.values())


def _by_width(times: Mapping[int, float], max_width: int) -> NDArray[np.float64]:
    widths = sorted(times)
    known = [times[width] for width in widths]
    last = widths[-1]
    seconds = np.interp(np.arange(1, max_width + 1), widths, known)
    # Beyond what was measured a token more costs what it did on average.
    beyond = np.maximum(0, np.arange(1, max_width + 1) - last)
    likely = times[1] * (1 + MOST_FOR_OTHER_KERNELS + MOST_FOR_A_TOKEN * np.arange(max_width))
    return np.asarray(np.minimum(seconds + beyond * known[-1] / last, likely), dtype=np.float64)


def _part(surprise: float, share: float, least: float) -> float:
    """Return a share of a surprise.

    The first passes count for more: what is known before them may be far off.
    """
    if share > least:
        largest = LARGEST_FIRST_SURPRISE
        return math.pow(min(max(surprise, 1 / largest), largest), share)
    return math.pow(_lessened(surprise), share)


def _lessened(surprise: float) -> float:
    """Return a surprise clipped, and less of one that a pass took longer.

    Whatever else the machine does makes passes slower, and those most often that take long anyway.
    """
    if surprise > 1:
        return math.pow(min(surprise, LARGEST_SURPRISE), SLOWER_SHARE)
    return max(surprise, 1 / LARGEST_SURPRISE)
