"""From messages to prompt tokens, so that no text of a user ever becomes a control token.

Where a content spells a control text, a marker is put inside it before the template runs, and the
rendered text is cut there before it is tokenized: each part is then read with control texts, but no
part holds a whole one that a user wrote. Other texts are tokenized in one piece, as in training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from utils.errors import TemplateError
from utils.llama.chat_template import CHATML, PLAIN, ChatTemplate, Turn
from utils.llama.vocabulary import LlamaVocabulary

__all__ = ["ChatTemplate", "encode_chat", "template_for"]

_PRIVATE_USE = range(0xE000, 0xF900)
_ANCHOR = "\n"


class ChatTurn(Protocol):
    """One message of a conversation."""

    @property
    def role(self) -> str:
        """Who speaks: system, user or assistant."""
        ...

    @property
    def content(self) -> str:
        """What is said."""
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
        merged = _merge_system(messages)
        if merged is None:
            raise
        return _encode_turns(vocabulary, template, merged)


def _encode(
    vocabulary: LlamaVocabulary, template: ChatTemplate, messages: Sequence[ChatTurn]
) -> list[int]:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return _encode_turns(vocabulary, template, turns)


def _encode_turns(
    vocabulary: LlamaVocabulary, template: ChatTemplate, turns: Sequence[Turn]
) -> list[int]:
    marker = _unused_character(template.source, turns)
    broken = [_break_controls(vocabulary, turn, marker) for turn in turns]
    token_ids = _tokenize(vocabulary, template, broken, marker)
    fenced = [{**turn, "content": f"{marker}{turn['content']}{marker}"} for turn in broken]
    apart = _tokenize(vocabulary, template, fenced, marker)
    # A control text may begin in the template and end in a content: only then do the two differ.
    return token_ids if _controls(vocabulary, token_ids) == _controls(vocabulary, apart) else apart


def _tokenize(
    vocabulary: LlamaVocabulary, template: ChatTemplate, turns: Sequence[Turn], marker: str
) -> list[int]:
    bos, eos = (
        "" if token_id is None else vocabulary.text(token_id)
        for token_id in (vocabulary.bos, vocabulary.eos)
    )
    first, *rest = template.render(turns, bos, eos).split(marker)
    token_ids = vocabulary.tokenize(first, parse_special=True)
    for part in rest:
        token_ids += _tokenize_continued(vocabulary, part)
    if vocabulary.adds_bos and vocabulary.bos is not None and token_ids[:1] != [vocabulary.bos]:
        token_ids.insert(0, vocabulary.bos)
    return token_ids


def _tokenize_continued(vocabulary: LlamaVocabulary, text: str) -> list[int]:
    """Tokenize text in mid-sentence: some vocabularies put a space before what they are given."""
    anchor = vocabulary.tokenize(_ANCHOR, parse_special=True)
    if vocabulary.detokenize(anchor) == _ANCHOR.encode():
        return vocabulary.tokenize(text, parse_special=True)
    anchored = vocabulary.tokenize(_ANCHOR + text, parse_special=True)
    if anchored[: len(anchor)] == anchor:
        return anchored[len(anchor) :]
    return vocabulary.tokenize(text, parse_special=True)


def _break_controls(vocabulary: LlamaVocabulary, turn: Turn, marker: str) -> Turn:
    content = turn["content"]
    for text in vocabulary.control_texts:
        if len(text) == 1:
            content = content.replace(text, "")
    starts = {
        match.start()
        for text in vocabulary.control_texts
        if len(text) > 1 and text in content
        for match in re.finditer(f"(?={re.escape(text)})", content)
    }
    for start in sorted(starts, reverse=True):
        content = content[: start + 1] + marker + content[start + 1 :]
    return {**turn, "content": content}


def _controls(vocabulary: LlamaVocabulary, token_ids: list[int]) -> list[int]:
    return [token_id for token_id in token_ids if token_id in vocabulary.control_ids]


def _unused_character(source: str, turns: Sequence[Turn]) -> str:
    used = set(source).union(*(turn["content"] for turn in turns))
    free = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
    character = next(free, None)
    if character is None:
        raise TemplateError("conversation uses every private character: remove some of them")
    return character


def _merge_system(messages: Sequence[ChatTurn]) -> list[Turn] | None:
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return None
    content = f"{messages[0].content}\n\n{messages[1].content}"
    rest = [{"role": message.role, "content": message.content} for message in messages[2:]]
    return [{"role": "user", "content": content}, *rest]
