"""Files that come with a question, whatever a browser lets through."""

from __future__ import annotations

import pytest
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from pages.parts.attachments import MAX_FILE_BYTES, read_uploads
from utils.errors import RequestError


def upload(size_bytes: int) -> UploadedFile:
    record = UploadedFileRec("1", "notes.txt", "text/plain", b"a" * size_bytes)
    return UploadedFile(record, FileURLs())


def test_a_file_over_the_limit_of_the_input_is_refused_before_it_is_read() -> None:
    with pytest.raises(RequestError, match="has 1,048,577 bytes, 1,048,576 is the most"):
        read_uploads([upload(MAX_FILE_BYTES + 1)])


def test_a_small_file_is_taken_as_text() -> None:
    assert read_uploads([upload(3)])[0].text == "aaa"
