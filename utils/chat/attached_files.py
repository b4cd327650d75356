"""Files that a user attaches to a question: bytes from outside, decoded or refused."""

from __future__ import annotations

import codecs

from utils.chat.turns import MAX_ATTACHMENT_CHARS, Attachment
from utils.errors import RequestError

# What a browser offers to attach; what is in a file decides whether it is taken.
# fmt: off
TEXT_TYPES = (
    "txt", "md", "rst", "tex", "log", "diff", "patch", "srt", "vtt", "csv", "tsv", "json",
    "jsonl", "yaml", "yml", "toml", "ini", "cfg", "conf", "xml", "html", "css", "js", "mjs", "ts",
    "jsx", "tsx", "py", "pyi", "ipynb", "java", "kt", "c", "h", "cc", "cpp", "hpp", "cs", "go",
    "rs", "rb", "php", "pl", "lua", "r", "jl", "swift", "scala", "sh", "bash", "sql", "proto",
    "gbnf",
)
# fmt: on
_MARKED = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_attachment(name: str, content: bytes) -> Attachment:
    """Return a file as text, or raise `RequestError` that says why it is none.

    UTF-8 is read, and UTF-16 with a mark at its beginning.
    """
    given = " ".join(name.split())
    shown = repr(given) if given else "the file"
    encoding = next((code for mark, code in _MARKED.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise RequestError(
            f"{shown} is not a text file in UTF-8: save it as UTF-8, then attach it again"
        ) from None
    if "\0" in text:
        raise RequestError(f"{shown} is not a text file: attach text, such as .txt or .py")
    if not text.strip():
        raise RequestError(f"{shown} is empty: attach a file with text in it")
    if len(text) > MAX_ATTACHMENT_CHARS:
        raise RequestError(
            f"{shown} has {len(text):,} characters, {MAX_ATTACHMENT_CHARS:,} is the most: "
            "attach a part of it"
        )
    return Attachment(given or shown, text.replace("\r\n", "\n").replace("\r", "\n"))


def file_label(file: Attachment) -> str:
    """Return what the chip of a file says: its name, and how long it is."""
    lines = file.text.count("\n") + (not file.text.endswith("\n"))
    return f"{file.name} · {lines:,} {'line' if lines == 1 else 'lines'}"
