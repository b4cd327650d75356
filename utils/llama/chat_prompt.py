"""From messages to prompt tokens, so that no text of a user ever becomes a control token.

Where a content spells a control text, a marker is put inside it before the template runs, and the
rendered text is cut there before it is tokenized: each part is then read with control texts, but no
part holds a whole one that a user wrote. Other texts are tokenized in one piece, as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Protocol

from utils import reasoning
from utils.errors import TemplateError
from utils.llama.chat_template import CHATML, PLAIN, ChatTemplate, Turn
from utils.llama.control_texts import break_controls, unused_character
from utils.llama.vocabulary import LlamaVocabulary

__all__ = [
    "ChatTemplate",
    "encode_chat",
    "encode_continued",
    "encode_rendered",
    "opened_thought",
    "template_for",
]

# More tokens than a mark and the blanks after it can have.
LAST_TOKENS = 32
_ANCHOR = "\n"


class ChatTurn(Protocol):
    """One message of a conversation."""

    @property
    def role(self) -> str:
        """Who speaks: system, user or assistant."""
        ...

    @property
    def content(self) -> str:
        """What is said, without the thought before it."""
        ...

    @property
    def thinking(self) -> str:
        """What was thought before; mostly nothing."""
        ...

    @property
    def written(self) -> str:
        """Thought and content as one text, as the model wrote them."""
        ...


def template_for(source: str | None, vocabulary: LlamaVocabulary) -> ChatTemplate:
    """Return the model's own template; without one, ChatML if its tokens exist, else plain text."""
    if source and source.strip():
        return ChatTemplate(source)
    has_chatml = {"<|im_start|>", "<|im_end|>"} <= set(vocabulary.control_texts)
    return ChatTemplate(CHATML if has_chatml else PLAIN)


def encode_chat(
    vocabulary: LlamaVocabulary, template: ChatTemplate, messages: Sequence[ChatTurn]
) -> list[int]:
    """Return the prompt that asks for the next assistant turn.

    Raises `TemplateError`. A system message that the template refuses goes into the first turn.
    """
    try:
        return _encode(vocabulary, template, messages)
    except TemplateError:
        merged = _merge_system(template, messages)
        if merged is None:
            raise
        return _encode_turns(vocabulary, template, merged)


def _encode(
    vocabulary: LlamaVocabulary, template: ChatTemplate, messages: Sequence[ChatTurn]
) -> list[int]:
    return _encode_turns(vocabulary, template, [_turn(template, message) for message in messages])


def _encode_turns(
    vocabulary: LlamaVocabulary, template: ChatTemplate, turns: Sequence[Turn]
) -> list[int]:
    marker = unused_character([template.source, *chain(*(turn.values() for turn in turns))])
    controls = vocabulary.control_texts
    broken = [_changed(turn, lambda text: break_controls(text, controls, marker)) for turn in turns]
    token_ids = _tokenize(vocabulary, template, broken, marker)
    fenced = [_changed(turn, lambda text: f"{marker}{text}{marker}") for turn in broken]
    apart = _tokenize(vocabulary, template, fenced, marker)
    # A control text may begin in the template and end in a content: only then do the two differ.
    return token_ids if _controls(vocabulary, token_ids) == _controls(vocabulary, apart) else apart


def _turn(template: ChatTemplate, message: ChatTurn) -> Turn:
    """Return a message for a template: with the thought apart if it asks for it, else as written.

    A template that wants no thoughts takes them out of what is written by itself.
    """
    if message.thinking and (key := template.thought_key):
        return {"role": message.role, "content": message.content, key: message.thinking}
    return {"role": message.role, "content": message.written}


def _changed(turn: Turn, change: Callable[[str], str]) -> Turn:
    return {key: text if key == "role" else change(text) for key, text in turn.items()}


def opened_thought(vocabulary: LlamaVocabulary, token_ids: Sequence[int]) -> str:
    """Return the mark at the end of a prompt that begins a thought, with blanks; else nothing."""
    pieces = [
        vocabulary.piece(token_id) or vocabulary.text(token_id).encode()
        for token_id in token_ids[-LAST_TOKENS:]
    ]
    return reasoning.opened_thought(b"".join(pieces).decode(errors="replace"))


def _tokenize(
    vocabulary: LlamaVocabulary, template: ChatTemplate, turns: Sequence[Turn], marker: str
) -> list[int]:
    bos, eos = (
        "" if token_id is None else vocabulary.text(token_id)
        for token_id in (vocabulary.bos, vocabulary.eos)
    )
    return encode_rendered(vocabulary, template.render(turns, bos, eos), marker=marker)


def encode_rendered(vocabulary: LlamaVocabulary, text: str, *, marker: str) -> list[int]:
    """Return the tokens of a prompt that a template has made, cut at each marker."""
    first, *rest = text.split(marker)
    token_ids = vocabulary.tokenize(first, parse_special=True)
    for part in rest:
        token_ids += _tokenize_continued(vocabulary, part, parse_special=True)
    if vocabulary.adds_bos and vocabulary.bos is not None and token_ids[:1] != [vocabulary.bos]:
        token_ids.insert(0, vocabulary.bos)
    return token_ids


def encode_continued(vocabulary: LlamaVocabulary, text: str) -> list[int]:
    """Return the tokens of the beginning of an answer, as they follow on a prompt."""
    return _tokenize_continued(vocabulary, text, parse_special=False)


def _tokenize_continued(
    vocabulary: LlamaVocabulary, text: str, *, parse_special: bool
) -> list[int]:
    """Tokenize text in mid-sentence: some vocabularies put a space before what they are given."""
    anchor = vocabulary.tokenize(_ANCHOR, parse_special=parse_special)
    if vocabulary.detokenize(anchor) == _ANCHOR.encode():
        return vocabulary.tokenize(text, parse_special=parse_special)
    anchored = vocabulary.tokenize(_ANCHOR + text, parse_special=parse_special)
    if anchored[: len(anchor)] == anchor:
        return anchored[len(anchor) :]
    return vocabulary.tokenize(text, parse_special=parse_special)


def _controls(vocabulary: LlamaVocabulary, token_ids: list[int]) -> list[int]:
    return [token_id for token_id in token_ids if token_id in vocabulary.control_ids]


def _merge_system(template: ChatTemplate, messages: Sequence[ChatTurn]) -> list[Turn] | None:
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return None
    content = f"{messages[0].content}\n\n{messages[1].content}"
    rest = [_turn(template, message) for message in messages[2:]]
    return [{"role": "user", "content": content}, *rest]
