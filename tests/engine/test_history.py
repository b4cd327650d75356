from hypothesis import given
from hypothesis import strategies as st

from utils.engine.history import TokenHistory

PIECES = [b"", b"", b"a", b"b", b"ab", b"aba", b"\xc3", b"\xa9", b"\xc3\xa9", b" "]


class Pieces:
    size = len(PIECES)

    def piece(self, token_id: int) -> bytes:
        return PIECES[token_id]

    def is_end(self, token_id: int) -> bool:
        return token_id == 0


def spell(token_ids: list[int]) -> list[bytes]:
    return [PIECES[token_id] or b"<%d>" % token_id for token_id in token_ids]


def test_the_former_ids_come_back_for_the_same_text():
    history = TokenHistory(Pieces())
    history.remember([1, 2, 3, 2])
    assert history.splice([1, 5, 0, 4]) == [1, 2, 3, 2, 0, 4]


def test_where_the_texts_part_the_new_ids_take_over():
    history = TokenHistory(Pieces())
    history.remember([1, 4, 2, 3])
    assert history.splice([1, 2, 3, 3, 3]) == [1, 4, 3, 3]


def test_control_tokens_are_not_mistaken_for_each_other_or_for_text():
    history = TokenHistory(Pieces())
    history.remember([0, 2, 3])
    assert history.splice([1, 4]) == [1, 4]


def test_the_longest_remembered_conversation_wins():
    history = TokenHistory(Pieces())
    history.remember([2, 3])
    history.remember([9, 9])
    history.remember([2, 3, 2, 3])
    assert history.splice([4, 4, 9]) == [2, 3, 2, 3, 9]


def test_only_the_newest_conversations_are_kept():
    history = TokenHistory(Pieces())
    history.remember([2, 3])
    for count in range(1, 9):
        history.remember([9] * count + [8])
    assert history.splice([4]) == [4]


IDS = st.lists(st.integers(0, len(PIECES) - 1), max_size=12)


@given(st.lists(IDS, max_size=10), IDS)
def test_splicing_never_changes_the_text(remembered: list[list[int]], new: list[int]):
    history = TokenHistory(Pieces())
    for token_ids in remembered:
        history.remember(token_ids)
    spliced = history.splice(new)
    assert b"".join(spell(spliced)) == b"".join(spell(new))
