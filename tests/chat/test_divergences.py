from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chat.racing import answer, race, request
from utils.chat.divergences import compare, explained, find_divergence
from utils.engine.figures import TokenLogit
from utils.engine.protocol import Inspected
from utils.errors import EngineError

SAME = answer(("I", " see", " a", " cat", " now"), ids=(5, 6, 7, 8, 9))
OTHER = answer(("I", " see", " a", " car", " now"), ids=(5, 6, 7, 18, 9))
EARLY = answer(("I", " am"), ids=(5, 16))
CUT = answer(("I", " see"), ids=(5, 6))


def test_answers_of_one_text_do_not_part():
    assert compare(SAME, SAME) is None
    assert find_divergence(race(("a", SAME), ("b", SAME)).runs) is None


def test_two_answers_part_at_the_first_token_that_differs_told_by_whole_words():
    parted = compare(SAME, OTHER).divergence
    assert (parted.shared_tokens, parted.pieces) == (3, ("cat", "car"))
    assert parted.before == "I see a "
    assert parted.shared_chars == len("I see a ca")


def test_an_answer_that_ended_has_no_piece():
    parted = compare(SAME, CUT).divergence
    assert parted.pieces == ("a", "")


def test_of_many_runs_the_pair_counts_that_parts_first():
    runs = race(("a", SAME), ("b", OTHER), ("b", EARLY), ("a", SAME)).runs
    assert find_divergence(runs).divergence.pieces == ("see", "am")


def test_answers_of_one_side_are_not_compared_with_each_other():
    assert find_divergence(race(("a", SAME), ("a", OTHER)).runs) is None


def seen(*logits):
    pieces = zip((8, 18), (" cat", " car"), logits, strict=True)
    cat, car = (TokenLogit(*piece) for piece in pieces)
    return Inspected(id="1", prompt_tokens=9, candidates=(cat, car), top=cat)


class Engine:
    """Notes what is inspected."""

    def __init__(self, result):
        self.answers = self
        self.asked = []
        self._result = result

    async def inspect(self, messages, **asked):
        self.asked.append((messages, asked))
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


async def test_the_target_is_asked_for_both_tokens_after_what_both_wrote():
    engine = Engine(seen(9.5, 9.25))
    known = await explained(compare(SAME, OTHER), request(), engine)
    ((messages, asked),) = engine.asked
    assert messages == request().messages
    assert (asked["written_ids"], asked["candidates"]) == ((5, 6, 7), (8, 18))
    assert (asked["owner"], asked["dropped_messages"]) == ("me", 0)
    assert (known.logits, known.gap) == ((9.5, 9.25), 0.25)
    assert (known.pieces, known.top) == ((" cat", " car"), " cat")


async def test_an_engine_that_fails_leaves_the_reason_instead_of_logits():
    known = await explained(compare(SAME, OTHER), request(), Engine(EngineError("it broke")))
    assert (known.logits, known.problem) == (None, "it broke")


@pytest.mark.parametrize(
    ("a", "b", "problem"),
    [
        (SAME, CUT, ""),
        (SAME, replace(OTHER, token_ids=()), "their tokens are not told"),
        (SAME, replace(OTHER, servers=("Ollama (demo)",)), "Ollama does not tell"),
    ],
)
async def test_what_the_engine_cannot_know_is_not_asked(a, b, problem):
    engine = Engine(seen(9.5, 9.25))
    known = await explained(compare(a, b), request(), engine)
    assert (known.problem == problem) or (problem and problem in known.problem)
    assert engine.asked == []
