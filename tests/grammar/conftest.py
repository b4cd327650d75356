"""Reading grammars in tests: texts in, whether they fit out."""

from __future__ import annotations

from utils.grammar.automaton import DEAD, Automaton
from utils.grammar.gbnf import parse_gbnf


def compiled(grammar: str) -> Automaton:
    return Automaton(parse_gbnf(grammar))


def fits(automaton: Automaton, text: str | bytes) -> bool:
    """Tell whether the whole text is one of the grammar's."""
    data = text.encode() if isinstance(text, str) else text
    return automaton.is_end(automaton.read(automaton.start, data))


def may_begin(automaton: Automaton, text: str | bytes) -> bool:
    """Tell whether a text of the grammar may begin like this."""
    data = text.encode() if isinstance(text, str) else text
    return automaton.read(automaton.start, data) != DEAD
