"""How many threads decode short passes fastest at the moment: tried out while decoding.

The threads of a pass wait for each other at every layer. Where other programs want the processor,
one that has to wait holds up all the others, and fewer threads are several times as fast.
"""

from __future__ import annotations

from statistics import mean

# A trial may take so much of the time until the next one.
TRIAL_BUDGET = 0.005
TRIAL_PASSES, FEWEST_PASSES, MOST_PASSES = 4, 16, 512
# Passes that take longer by so much tell that the machine has changed.
CHANGED = 1.5
# Fewer threads make passes over several tokens dearer still: taken only where they are far faster.
MOST_FOR_FEWER, MOST_FOR_MORE = 0.75, 1.0
SHARE, USUAL_SHARE = 0.2, 0.1
LARGEST_SURPRISE = 2.0


class ThreadChoice:
    """Climbs between one thread, half of them, all but one, and all, by what passes take.

    Times are compared at the same width, as ratios to what is usual with the threads now chosen.
    """

    def __init__(self, most: int) -> None:
        """`most` threads are the first choice, until told otherwise by `take`."""
        self._ladder = sorted({1, most - most // 2, max(1, most - 1), most})
        self._chosen = self._tried = most
        self._usual_s: dict[int, float] = {}
        self._now = 1.0
        # What is known of others, as ratios too.
        self._ratios: dict[int, float] = {}
        self._trial: list[float] = []
        self._passes, self._gap = 0, FEWEST_PASSES
        self._goes_up = False

    @property
    def threads(self) -> int:
        """How many threads the next pass is best made with, or tried with."""
        return self._tried

    @property
    def chosen(self) -> int:
        """How many threads were best so far."""
        return self._chosen

    @property
    def is_most(self) -> bool:
        """True while none but the most threads are chosen."""
        return self._chosen == self._ladder[-1]

    def take(self, threads: int) -> None:
        """Choose so many, and forget what was known."""
        self._ladder = sorted({*self._ladder, threads})
        self._chosen = self._tried = threads
        self._usual_s.clear()
        self._ratios.clear()
        self._trial.clear()
        self._now, self._passes, self._gap = 1.0, 0, FEWEST_PASSES

    def note(self, width: int, seconds: float) -> None:
        """Learn what a pass over `width` tokens took with `threads`."""
        usual_s = self._usual_s.get(width)
        if usual_s is None:
            if self._tried == self._chosen:
                self._usual_s[width] = seconds
            return
        ratio = min(seconds / usual_s, LARGEST_SURPRISE)
        if self._tried != self._chosen:
            self._trial.append(ratio)
            if len(self._trial) == TRIAL_PASSES:
                self._judge()
            return
        self._usual_s[width] += USUAL_SHARE * (ratio - 1) * usual_s
        self._now += SHARE * (ratio - self._now)
        self._passes += 1
        is_changed = self._now > CHANGED and self._passes >= FEWEST_PASSES
        if self._passes >= self._gap or is_changed:
            self._try_another()

    def _try_another(self) -> None:
        """Go up and down in turn, to a neighbour."""
        place, last = self._ladder.index(self._chosen), len(self._ladder) - 1
        self._goes_up = place == 0 or (place < last and not self._goes_up)
        self._passes = 0
        if last:
            self._tried = self._ladder[place + (1 if self._goes_up else -1)]

    def _judge(self) -> None:
        # The first pass of a trial finds the caches of a processor that did nothing before.
        ratio = mean(self._trial[1:])
        known = self._ratios.get(self._tried, ratio)
        self._ratios[self._tried] = known = (known + ratio) / 2
        lost = TRIAL_PASSES * (ratio - self._now)
        self._gap = int(min(max(FEWEST_PASSES, lost / TRIAL_BUDGET), MOST_PASSES))
        self._trial.clear()
        most = MOST_FOR_FEWER if self._tried < self._chosen else MOST_FOR_MORE
        if known < most * self._now:
            self._switch(known)
        else:
            self._tried = self._chosen

    def _switch(self, ratio: float) -> None:
        """Choose what was tried; from now on its times are the usual ones."""
        left = self._now / ratio
        self._ratios = {threads: known / ratio for threads, known in self._ratios.items()}
        self._ratios[self._chosen] = left
        self._usual_s = {width: ratio * seconds for width, seconds in self._usual_s.items()}
        self._chosen, self._now, self._gap = self._tried, 1.0, FEWEST_PASSES
