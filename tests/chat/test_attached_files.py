from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.chat.attached_files import file_label, read_attachment
from utils.chat.turns import MAX_ATTACHMENT_CHARS, Attachment
from utils.errors import RequestError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_however_it_is_encoded(encoding):
    content = "Grüße\r\nan alle\r".encode(encoding)
    assert read_attachment("a.txt", content) == Attachment("a.txt", "Grüße\nan alle\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "not a text file in UTF-8"),
        ("Grüße".encode("latin-1"), "save it as UTF-8"),
        (b"a\0b", "not a text file"),
        (b" \n", "is empty"),
        (b"", "is empty"),
        (b"x" * (MAX_ATTACHMENT_CHARS + 1), "is the most"),
    ],
)
def test_what_is_not_text_or_too_long_is_refused_by_name(content, said):
    with pytest.raises(RequestError, match=said) as raised:
        read_attachment("notes.txt", content)
    assert str(raised.value).startswith("'notes.txt' ")


@given(st.binary(max_size=200))
def test_any_bytes_become_text_or_are_refused(content):
    with suppress(RequestError):
        assert read_attachment("a", content).text.strip()


@pytest.mark.parametrize(
    ("text", "label"),
    [("one", "a.md · 1 line"), ("one\n", "a.md · 1 line"), ("one\ntwo", "a.md · 2 lines")],
)
def test_a_chip_says_the_name_and_how_long_the_file_is(text, label):
    assert file_label(Attachment("a.md", text)) == label
