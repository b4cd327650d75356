"""The ChatML form of a conversation: what the models read and what the app's template writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

Message = dict[str, str]
Conversation = list[Message]

END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (END_OF_TEXT, IM_START, IM_END, *(f"<|reserved_{i}|>" for i in range(5)))

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def render(messages: Conversation, *, generation_prompt: bool = False) -> str:
    """Return the ChatML text of a conversation."""
    text = "".join(f"{IM_START}{m['role']}\n{m['content']}{IM_END}\n" for m in messages)
    return text + (f"{IM_START}assistant\n" if generation_prompt else "")


def question_prompt(question: str) -> str:
    """Return the ChatML text that asks one question and awaits the answer."""
    return render([{"role": "user", "content": question}], generation_prompt=True)


def read_conversations(path: Path) -> Iterator[Conversation]:
    """Yield the conversations of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["messages"]
