"""Grammars over the tokens of a vocabulary: which of them may come next.

Knows nothing of llama.cpp: a vocabulary is its pieces. All tokens are read at once, byte by byte,
which takes a few milliseconds for 128,000 of them, and once for each state of a grammar.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from config import SamplingParams
from utils.constraint import Constraint
from utils.errors import RequestError
from utils.grammar.automaton import DEAD, Automaton
from utils.grammar.gbnf import parse_gbnf
from utils.grammar.json_grammar import JSON_OBJECT, grammar_of_schema
from utils.model_session import Vocabulary

KEPT_IDS = 2_000_000
KEPT_CONSTRAINTS = 4


class TokenTable:
    """The bytes of all tokens, laid out to be read one byte of all tokens at a time."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        ids = range(vocabulary.size)
        self.ends = np.array([n for n in ids if vocabulary.is_end(n)], np.int32)
        # Tokens without a text would go past every grammar.
        self.pieces = [b"" if vocabulary.is_end(n) else vocabulary.piece(n) for n in ids]
        lengths = np.array([len(piece) for piece in self.pieces])
        longest_first = np.argsort(-lengths, kind="stable").astype(np.int32)
        self._order = longest_first[: np.count_nonzero(lengths)]
        texts = np.frombuffer(b"".join(self.pieces), np.uint8)
        begins = np.cumsum(lengths) - lengths
        self._columns = []
        for index in range(int(lengths.max(initial=0))):
            longer = self._order[: np.count_nonzero(lengths > index)]
            self._columns.append(texts[begins[longer] + index])

    def allowed(self, automaton: Automaton, state: int) -> NDArray[np.int32]:
        """Return the tokens with text that the automaton can read from a state on."""
        rows = np.arange(len(self._order))
        states = np.full(len(rows), state, np.int32)
        read = []
        for column in self._columns:
            going_on = int(np.searchsorted(rows, len(column)))
            read.append(rows[going_on:])
            rows, states = rows[:going_on], states[:going_on]
            if not len(rows):
                break
            states = automaton.read_all(states, column[rows])
            alive = states != DEAD
            rows, states = rows[alive], states[alive]
        return np.sort(self._order[np.concatenate([*read, rows])])


class GrammarConstraint:
    """A grammar over the tokens of a vocabulary; an answer ends where the grammar does."""

    def __init__(self, table: TokenTable, grammar: str, free_until: str = "") -> None:
        """Raises `RequestError` for a grammar that cannot be read.

        Any text may go before the mark `free_until`, if there is one, and the grammar after it.
        """
        rules = parse_gbnf(grammar)
        if free_until:
            rules.begin_after(free_until.encode())
        self._automaton = Automaton(rules)
        self.start = self._automaton.start
        self._table = table
        self._ends = frozenset(table.ends.tolist())
        self._after: dict[tuple[int, int], int | None] = {}
        self._allowed: OrderedDict[int, NDArray[np.int32]] = OrderedDict()
        self._kept_ids = 0

    @property
    def is_worn(self) -> bool:
        """True when it is better made anew for the next answer."""
        return self._automaton.is_worn or len(self._after) > KEPT_IDS // 8

    def after(self, state: int, token_id: int) -> int | None:
        """Return the state after a token, or None where it is not allowed."""
        key = state, token_id
        if key not in self._after:
            self._after[key] = self._read(state, token_id)
        return self._after[key]

    def _read(self, state: int, token_id: int) -> int | None:
        if token_id in self._ends:
            return state if self._automaton.is_end(state) else None
        pieces = self._table.pieces
        if not 0 <= token_id < len(pieces) or not pieces[token_id]:
            return None
        reached = self._automaton.read(state, pieces[token_id])
        return None if reached == DEAD else reached

    def allowed(self, state: int) -> NDArray[np.int32]:
        """Return the ids of all tokens that may follow, ascending."""
        found = self._allowed.get(state)
        if found is not None:
            self._allowed.move_to_end(state)
            return found
        found = self._table.allowed(self._automaton, state)
        if self._automaton.is_end(state):
            found = np.sort(np.concatenate([found, self._table.ends]))
        self._allowed[state] = found
        self._kept_ids += len(found)
        while self._kept_ids > KEPT_IDS:
            self._kept_ids -= len(self._allowed.popitem(last=False)[1])
        return found


class Constraints:
    """The constraints of one vocabulary, by grammar: what is learnt of the newest is kept."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._table: TokenTable | None = None
        self._known: OrderedDict[tuple[str, str], GrammarConstraint] = OrderedDict()

    def take(self, sampling: SamplingParams, *, free_until: str = "") -> Constraint | None:
        """Return what an answer is held to, if anything, after the mark `free_until`.

        Raises `RequestError`.
        """
        grammar = grammar_of(sampling)
        if not grammar:
            return None
        key = grammar, free_until
        known = self._known.pop(key, None)
        if known is None or known.is_worn:
            self._table = self._table or TokenTable(self._vocabulary)
            known = GrammarConstraint(self._table, grammar, free_until)
        self._known[key] = known
        while len(self._known) > KEPT_CONSTRAINTS:
            self._known.popitem(last=False)
        return known


def grammar_of(sampling: SamplingParams) -> str:
    """Return the grammar that sampling parameters ask for, in GBNF; empty: none."""
    asked = (sampling.grammar, sampling.json_schema, sampling.json_output)
    if sum(map(bool, asked)) > 1:
        raise RequestError("the answer has one form: choose JSON, a JSON schema or a grammar")
    if sampling.json_schema:
        return grammar_of_schema(sampling.json_schema)
    return JSON_OBJECT if sampling.json_output else sampling.grammar or ""
