"""Text of models made fit to be drawn as Markdown.

The renderer shows raw HTML as text, but it fetches images, draws diagrams, and knows directives
of its own (`:red[..]`, `:material/..:`, `:tada:`). A model's text must trigger none of these. Code
is left as it is, so that what is copied from it is what was written; where the renderer may not
take it for code, no image is left in it.
"""

from __future__ import annotations

import re

WORD_JOINER = "\u2060"

_FENCE = re.compile(r"(?P<indent>(?:[ \t>]|[-*+] |\d{1,9}[.)] )*)(?P<mark>`{3,}|~{3,})(?P<info>.*)")
_CODE_SPAN = re.compile(r"(?<![`\\])(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_SURE_SPAN = re.compile(r"(?<![`\\])(`+)(?!`)([^\n|]+?)(?<!`)\1(?!`)")
_EMPTY_LINES = re.compile(r"(\n[ \t]*\n)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_IMAGE = re.compile(r"!+(?=\[)")
_WHOLE_IMAGE = re.compile(r"!+(?=\[[^\]\n]*\][(\[])")
# Streamlit takes these for its own alone, too: of `color:red` nothing of the red would be shown.
_KNOWN = (
    "red|orange|yellow|blue|green|violet|purple|gr[ae]y|primary|rainbow|color|small|shimmer|help"
)
_DIRECTIVE = re.compile(rf":(?=:|material/|[\w+-]+[:\[{{]|(?:{_KNOWN})\b)")
_ADDRESS = re.compile(r":(?=//)")
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$&])")


def safe_markdown(text: str) -> str:
    """Return `text` with images, HTML, diagrams and directives disarmed and open code closed."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    pieces: list[str] = []
    prose: list[str] = []
    fence, indent = "", ""
    for line in text.split("\n"):
        if fence:
            pieces.append(line if _is_inside(line, indent) else _WHOLE_IMAGE.sub("", line))
            fence = "" if _closes(line, fence) else fence
        elif opening := _opens(line):
            pieces += [*_safe_prose(prose), _safe_opening(opening, line)]
            prose, fence, indent = [], opening["mark"], opening["indent"]
        else:
            prose.append(line)
    pieces += _safe_prose(prose)
    return "\n".join([*pieces, fence] if fence else pieces)


def literal(text: str) -> str:
    """Return `text` so that Markdown shows it as it is, on one line."""
    inert = _ADDRESS.sub(f":{WORD_JOINER}", _break_directives(" ".join(text.split())))
    return _PUNCTUATION.sub(r"\\\1", inert)


def open_fence(text: str) -> str:
    """Return the line that opens the code which `text` ends in, with its end; else nothing."""
    first, fence = "", ""
    for line in text.split("\n"):
        first, fence = next_fence(line, first, fence)
    return first


def next_fence(line: str, first: str, fence: str) -> tuple[str, str]:
    """Return which line opened the code that stands open after `line`, and its mark.

    `first` and `fence` are the same before the line; empty without open code.
    """
    if fence:
        return ("", "") if _closes(line, fence) else (first, fence)
    opening = _opens(line)
    return (f"{line}\n", opening["mark"]) if opening else ("", "")


def _opens(line: str) -> re.Match[str] | None:
    opening = _FENCE.match(line)
    if opening and opening["mark"][0] == "`" and "`" in opening["info"]:
        return None
    return opening


def _closes(line: str, fence: str) -> bool:
    mark = line.strip(" \t>")
    return len(mark) >= len(fence) and set(mark) == {fence[0]}


def _is_inside(line: str, indent: str) -> bool:
    """Tell whether a line is surely in the code that was opened with this in front of it.

    The end of a quotation or of a point of a list ends the code in it.
    """
    if ">" in indent:
        return line.lstrip(" ").startswith(">")
    return not indent.strip() or line.startswith(("  ", "\t")) or not line.strip()


def _safe_opening(opening: re.Match[str], line: str) -> str:
    """Keep the language, unless it makes the renderer draw instead of show."""
    if opening["info"].strip().lower().startswith("mermaid"):
        return f"{opening['indent']}{opening['mark']}text"
    return line


def _safe_prose(lines: list[str]) -> list[str]:
    """Disarm all but code spans; a span does not reach over an empty line."""
    paragraphs = _EMPTY_LINES.split("\n".join(lines))
    return ["".join(map(_safe_paragraph, paragraphs))] if lines else []


def _safe_paragraph(text: str) -> str:
    # Where marks pair within their lines, and outside of tables, there is one way to read them.
    is_sure = "`" not in _SURE_SPAN.sub("", text)
    safe, end = [], 0
    for span in _CODE_SPAN.finditer(text):
        code = span[0] if is_sure else _WHOLE_IMAGE.sub("", span[0])
        safe += [_disarm(text[end : span.start()]), code]
        end = span.end()
    return "".join([*safe, _disarm(text[end:])])


def _disarm(text: str) -> str:
    return _break_directives(_IMAGE.sub("", _TAG.sub("&lt;", text)))


def _break_directives(text: str) -> str:
    return _DIRECTIVE.sub(f":{WORD_JOINER}", text)
