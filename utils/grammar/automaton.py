"""A grammar as an automaton over bytes, made while it is used.

A state is the set of all ways to read what was written so far; each way is a stack of places in
rules. States are numbers and never change, so that whoever drafts ahead needs no copy and gives
nothing back. What a byte leads to is worked out once and kept in a table that NumPy reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from utils.errors import RequestError
from utils.grammar.rules import Byte, Item, Ref, Rules

DEAD = 0
MAX_READINGS = 4096
MAX_STATES = 32_768
MAX_STEPS = 4_000_000

# A place in a rule, and the stack below it: what is read once the rule is at its end.
_BOTTOM = 0


class Automaton:
    """States from `start` on; `DEAD` is where no text of the grammar goes on.

    All methods raise `RequestError` once a grammar that can be read in too many ways takes too
    much: no text makes it run long or fill the memory.
    """

    def __init__(self, rules: Rules) -> None:
        self._items: list[Item | None] = []
        self._begins = [self._lay_out(choices or []) for choices in rules.choices]
        self._stacks: list[tuple[int, int]] = [(-1, -1)]
        self._stack_ids: dict[tuple[int, int], int] = {}
        self._states: list[tuple[int, ...]] = [()]
        self._ends = [False]
        self._state_ids: dict[tuple[tuple[int, ...], bool], int] = {((), False): DEAD}
        self._by_targets: dict[tuple[int, ...], int] = {}
        self._table = np.zeros((64, 256), np.int32)
        self._is_worked_out = np.zeros(64, np.bool_)
        self._is_worked_out[DEAD] = True
        self._steps = 0
        self.start = self._state_of(
            self._push(begin, _BOTTOM) for begin in self._begins[rules.root]
        )

    def _lay_out(self, choices: Iterable[tuple[Item, ...]]) -> tuple[int, ...]:
        """Put sequences one after the other, each with None at its end."""
        begins = []
        for sequence in choices:
            begins.append(len(self._items))
            self._items += [*sequence, None]
        return tuple(begins)

    @property
    def is_worn(self) -> bool:
        """True once half of what it may take is taken: better begin anew with the next answer."""
        return self._steps > MAX_STEPS // 2 or len(self._states) > MAX_STATES // 2

    def is_end(self, state: int) -> bool:
        """Tell whether the text so far is complete."""
        return self._ends[state]

    def read(self, state: int, text: bytes) -> int:
        """Return the state after some more text."""
        for byte in text:
            if not self._is_worked_out[state]:
                self._work_out(state)
            state = int(self._table[state, byte])
        return state

    def read_all(self, states: NDArray[np.int32], last: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the state after one more byte, for many at once."""
        present = np.zeros(len(self._states), np.bool_)
        present[states] = True
        for state in np.flatnonzero(present & ~self._is_worked_out[: len(present)]):
            self._work_out(int(state))
        return self._table[states, last]

    def _work_out(self, state: int) -> None:
        """Fill the row of a state, interval by interval of bytes that lead to the same."""
        reach = []
        for stack in self._states[state]:
            place, below = self._stacks[stack]
            item = self._items[place]
            if isinstance(item, Byte):
                reach.append((item.low, item.high + 1, self._push(place + 1, below)))
        borders = sorted({border for low, high, _ in reach for border in (low, high)})
        row = np.zeros(256, np.int32)
        for begin, end in itertools.pairwise(borders):
            targets = sorted({to for low, high, to in reach if low <= begin < high})
            row[begin:end] = self._target_of(tuple(targets))
        self._steps += len(borders) * len(reach)
        self._table[state] = row
        self._is_worked_out[state] = True

    def _target_of(self, targets: tuple[int, ...]) -> int:
        if targets not in self._by_targets:
            self._by_targets[targets] = self._state_of(targets)
        return self._by_targets[targets]

    def _state_of(self, stacks: Iterable[int]) -> int:
        """Return the state of these stacks, each taken apart until a byte is on top."""
        waiting = list(stacks)
        seen = set(waiting)
        tops, is_end = [], False
        while waiting:
            stack = waiting.pop()
            if stack == _BOTTOM:
                is_end = True
                continue
            place, below = self._stacks[stack]
            item = self._items[place]
            if not isinstance(item, Ref):
                tops.append(stack)
                continue
            below = self._push(place + 1, below)
            fresh = {self._push(begin, below) for begin in self._begins[item.rule]} - seen
            seen |= fresh
            waiting += fresh
            self._limit(len(seen) > MAX_READINGS)
        self._steps += len(seen)
        key = tuple(sorted(tops)), is_end
        if key not in self._state_ids:
            self._add_state(*key)
        return self._state_ids[key]

    def _add_state(self, tops: tuple[int, ...], is_end: bool) -> None:  # noqa: FBT001
        number = len(self._states)
        self._limit(number >= MAX_STATES or self._steps > MAX_STEPS)
        self._state_ids[tops, is_end] = number
        self._states.append(tops)
        self._ends.append(is_end)
        if number == len(self._table):
            self._table = np.concatenate([self._table, np.zeros_like(self._table)])
            self._is_worked_out = np.resize(self._is_worked_out, 2 * number)
            self._is_worked_out[number:] = False

    def _push(self, place: int, below: int) -> int:
        """Return a stack with one more place; at the end of a rule nothing is left of it."""
        if self._items[place] is None:
            return below
        key = place, below
        stack = self._stack_ids.get(key)
        if stack is None:
            stack = self._stack_ids[key] = len(self._stacks)
            self._stacks.append(key)
        return stack

    @staticmethod
    def _limit(too_much: bool) -> None:  # noqa: FBT001
        if too_much:
            raise RequestError(
                "the grammar is too complex: it can be read in too many ways; make it simpler"
            )
