"""Streamed text: split characters, stop texts across tokens, nothing lost and nothing extra."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.events import Token
from utils.text_stream import TextStream


def stream(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[list[list[Token]], TextStream]:
    """Return what each push released, and what the end did, as the last list."""
    text = TextStream(stop)
    released = [text.push(index, piece, "plain", index / 10) for index, piece in enumerate(pieces)]
    return [*released, text.finish()], text


def texts(released: list[list[Token]]) -> list[str]:
    return ["".join(token.text for token in tokens) for tokens in released]


def expected(pieces: list[bytes], stop: tuple[str, ...]) -> tuple[str, bool]:
    """The whole text, cut where the first complete stop text begins: written another way."""
    whole = b"".join(pieces).decode("utf-8", "replace")
    for end in range(1, len(whole) + 1):
        ended = [text for text in stop if whole[:end].endswith(text)]
        if ended:
            return whole[: end - max(map(len, ended))], True
    return whole, False


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, start = [], 0
    for size in [*sizes, len(data)]:
        pieces.append(data[start : start + size])
        start += size
    return pieces


def test_plain_text_is_released_at_once():
    assert texts(stream([b"Hello", b",", b" world"])[0]) == ["Hello", ",", " world", ""]


def test_a_character_over_three_tokens_appears_with_the_last():
    released, _ = stream([b"\xe6", b"\x97", b"\xa5!"])
    assert texts(released) == ["", "", "日!", ""]
    assert [token.token_id for tokens in released for token in tokens] == [0, 1, 2]


def test_a_character_cut_at_the_end_is_replaced():
    assert texts(stream([b"ok \xe6\x97"])[0]) == ["", "ok \ufffd"]


def test_a_possible_stop_is_held_and_released_when_it_is_none():
    assert texts(stream([b"a", b"<e", b"nd", b"?"], ("<end>",))[0]) == ["a", "", "", "<end?", ""]


def test_a_stop_across_tokens_is_cut_with_all_that_follows():
    released, text = stream([b"one ", b"<e", b"nd> two", b"three"], ("<end>",))
    assert texts(released) == ["one ", "", "", "", ""]
    assert text.stopped


def test_a_stop_inside_a_token_keeps_what_is_before_it():
    released, _ = stream([b"yes<end>no"], ("<end>",))
    assert texts(released) == ["yes", ""]


def test_the_end_releases_a_stop_that_was_only_begun():
    released, text = stream([b"a<en"], ("<end>",))
    assert texts(released) == ["", "a<en"]
    assert not text.stopped


def test_tokens_keep_their_source_and_time():
    text = TextStream(("##",))
    assert text.push(7, b"#", "accepted", 1.5) == []
    assert text.push(8, b"x", "bonus", 2.5) == [
        Token(7, "#", "accepted", 1.5),
        Token(8, "x", "bonus", 2.5),
    ]


@pytest.mark.parametrize("pieces", [[b"abcd"], [b"a", b"b", b"c", b"d"]])
def test_the_stop_that_is_complete_first_counts_however_tokens_fall(pieces):
    assert "".join(texts(stream(pieces, ("abcd", "bc"))[0])) == "a"


@settings(max_examples=500, deadline=None)
@given(
    data=st.binary(max_size=40) | st.text(max_size=20).map(str.encode),
    sizes=st.lists(st.integers(0, 4), max_size=30),
)
def test_any_bytes_come_out_as_their_whole_decoding(data, sizes):
    pieces = cut(data, sizes)
    assert "".join(texts(stream(pieces)[0])) == expected(pieces, ())[0]


@pytest.mark.no_cover
@settings(max_examples=2000, deadline=None)
@given(
    data=st.text("abé", max_size=24).map(str.encode),
    sizes=st.lists(st.integers(0, 3), max_size=30),
    stop=st.lists(st.text("abé", min_size=1, max_size=5), max_size=3).map(tuple),
)
def test_stop_texts_cut_the_same_place_whatever_the_tokens(data, sizes, stop):
    pieces = cut(data, sizes)
    released, text = stream(pieces, stop)
    assert ("".join(texts(released)), text.stopped) == expected(pieces, stop)
    ids = [token.token_id for tokens in released for token in tokens]
    assert ids == list(range(len(pieces)))


@settings(max_examples=300, deadline=None)
@given(
    text=st.text("ab", max_size=30),
    stop=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3).map(tuple),
)
def test_no_text_is_held_longer_than_a_stop_text_could_be(text, stop):
    shown = ""
    whole = TextStream(stop)
    for index, letter in enumerate(text):
        shown += "".join(token.text for token in whole.push(index, letter.encode(), "plain", 0))
        if not whole.stopped:
            held = text[: index + 1].removeprefix(shown)
            assert held == "" or any(long.startswith(held) for long in stop)


def test_a_character_begun_by_tokens_released_before_is_completed():
    llama = "🦙".encode()
    for cut in range(1, len(llama)):
        stream = TextStream()
        stream.resume([b"a", llama[:cut]])
        tokens = stream.push(1, llama[cut:] + b"b", "plain", 0.0)
        assert "".join(token.text for token in [*tokens, *stream.finish()]) == "🦙b"
