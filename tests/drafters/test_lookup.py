"""Lookup against brute force, and its cost."""

from __future__ import annotations

import random

import pytest

from utils.drafters.lookup import LookupDrafter, SuffixAutomaton


class NoEnd:
    def pick(self, logits, before, drafted):
        raise AssertionError("lookup needs no model")

    def is_end(self, token_id: int) -> bool:
        return token_id == 99


def longest_repeat(tokens: list[int]) -> tuple[int, int]:
    """Length of the longest suffix that ended earlier, and where it did last."""
    size = len(tokens)
    for length in range(size - 1, 0, -1):
        for end in range(size - 2, length - 2, -1):
            if tokens[end - length + 1 : end + 1] == tokens[size - length :]:
                return length, end
    return 0, -1


@pytest.mark.parametrize("letters", [1, 2, 3, 5])
def test_the_longest_and_most_recent_match_is_found(letters: int) -> None:
    rng = random.Random(letters)
    for _ in range(30):
        automaton, tokens = SuffixAutomaton(), []
        for _ in range(60):
            tokens.append(rng.randrange(letters))
            automaton.append(tokens[-1])
            length, end = longest_repeat(tokens)
            assert automaton.match_length == length
            if length:
                assert automaton.match_end == end


def test_the_continuation_of_the_match_is_proposed() -> None:
    drafter = LookupDrafter()
    tokens = [1, 2, 3, 4, 5, 6, 9, 1, 2, 3]
    drafter.begin(tokens)
    assert drafter.propose(tokens, 3, NoEnd()).token_ids == (4, 5, 6)


def test_a_periodic_text_goes_on_beyond_its_end() -> None:
    drafter = LookupDrafter()
    tokens = [7, 8, 7, 8, 7, 8]
    drafter.begin(tokens)
    assert drafter.propose(tokens, 5, NoEnd()).token_ids == (7, 8, 7, 8, 7)


def test_a_single_repeated_token_is_not_enough() -> None:
    drafter = LookupDrafter()
    drafter.begin([1, 2, 3, 1])
    assert drafter.propose([1, 2, 3, 1], 4, NoEnd()).token_ids == ()


def test_a_proposal_stops_after_the_end_of_an_answer() -> None:
    drafter = LookupDrafter()
    tokens = [1, 2, 99, 4, 1, 2]
    drafter.begin(tokens)
    assert drafter.propose(tokens, 5, NoEnd()).token_ids == (99,)


def test_what_was_emitted_is_indexed_and_another_conversation_replaces_it() -> None:
    drafter = LookupDrafter()
    tokens = [1, 2, 3]
    drafter.begin(tokens)
    tokens += [4, 1, 2]
    drafter.observe(tokens)
    assert drafter.propose(tokens, 2, NoEnd()).token_ids == (3, 4)
    drafter.begin([5, 6, 1, 2])
    assert drafter.propose([5, 6, 1, 2], 2, NoEnd()).token_ids == ()


@pytest.mark.parametrize("text", ["random", "periodic", "constant"])
def test_states_stay_under_two_per_token(text: str) -> None:
    rng = random.Random(1)
    automaton = SuffixAutomaton()
    for i in range(20_000):
        automaton.append({"random": rng.randrange(50), "periodic": i % 7, "constant": 0}[text])
    assert len(automaton._length) <= 2 * 20_000


def test_earlier_conversations_are_looked_up_too_up_to_a_limit() -> None:
    drafter = LookupDrafter(remembered_tokens=12)
    drafter.begin([1, 2, 3, 4, 5, 6])
    drafter.begin([7, 8, 2, 3])
    assert drafter.copy(5, NoEnd()) == [4, 5, 6]
    drafter.observe([7, 8, 2, 3, 4])
    assert drafter.copy(2, NoEnd()) == [5, 6]
    drafter.begin([20, 21, 22, 23, 24, 25, 26])
    drafter.begin([2, 3])
    assert drafter.copy(1, NoEnd()) == [4]
    drafter.forget_earlier()
    assert drafter.copy(1, NoEnd()) == []


def test_it_tells_how_many_tokens_it_holds_of_all_conversations() -> None:
    drafter = LookupDrafter(remembered_tokens=12)
    assert drafter.indexed_tokens == 0
    drafter.begin([1, 2, 3, 4, 5, 6])
    drafter.observe([1, 2, 3, 4, 5, 6, 7])
    assert drafter.indexed_tokens == 7
    drafter.begin([8, 9])
    assert drafter.indexed_tokens == 7 + 1 + 2
    drafter.forget_earlier()
    assert drafter.indexed_tokens == 2


def test_what_is_forgotten_before_another_conversation_is_not_looked_up_in_it() -> None:
    drafter = LookupDrafter(remembered_tokens=100)
    drafter.begin([1, 2, 3, 4, 5, 6])
    drafter.forget_earlier()
    drafter.begin([1, 2, 3])
    assert drafter.copy(3, NoEnd()) == []
    drafter.begin([9, 8, 7])
    drafter.begin([1, 2])
    assert drafter.copy(1, NoEnd()) == [3]


def test_a_conversation_that_goes_on_is_looked_up_also_after_forgetting() -> None:
    drafter = LookupDrafter(remembered_tokens=100)
    drafter.begin([1, 2, 3, 4])
    drafter.forget_earlier()
    drafter.begin([1, 2, 3, 4, 9, 2, 3])
    assert drafter.copy(1, NoEnd()) == [4]


def test_without_a_memory_only_this_conversation_is_looked_up() -> None:
    drafter = LookupDrafter()
    drafter.begin([1, 2, 3, 4, 5, 6])
    drafter.begin([7, 8, 2, 3])
    assert drafter.copy(5, NoEnd()) == []


@pytest.mark.parametrize("letters", [2, 3])
def test_a_draft_is_gone_on_with_as_if_it_were_text(letters: int) -> None:
    rng = random.Random(letters)
    for _ in range(100):
        text = [rng.randrange(letters) for _ in range(30)]
        more = [rng.randrange(letters) for _ in range(rng.randint(1, 5))]
        automaton = SuffixAutomaton()
        for token in text:
            automaton.append(token)
        end, length = automaton.match_with(more)
        whole = text + more
        stood = [text[:end] for end in range(len(text) + 1)]
        longest = max(
            size
            for size in range(len(whole) + 1)
            if any(start[len(start) - size :] == whole[len(whole) - size :] for start in stood)
        )
        assert length <= longest
        assert text[end + 1 - length : end + 1] == whole[len(whole) - length :]
