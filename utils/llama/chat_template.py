"""The chat template of a model: messages to the text it was trained to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property

from utils.errors import TemplateError
from utils.llama.chat_sandbox import ChatEnvironment

MAX_TEMPLATE_CHARS = 64 * 2**10
TIME_LIMIT_S = 1.0
SPARE_CHARS = 64 * 2**10
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
PLAIN = (
    "{% for message in messages %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] + '\\n\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Names under which templates look for the thought of an assistant's turn.
THOUGHT_KEYS = ("reasoning_content", "thinking", "reasoning")
Turn = Mapping[str, str]
_THOUGHT = "a thought of its own"


class ChatTemplate:
    """A compiled template; not to be used by two threads at once.

    A render takes at most `TIME_LIMIT_S` and gives at most 4 times the input plus 64 kB. What goes
    wrong in it, or in compiling it, is a `TemplateError`.
    """

    def __init__(self, source: str) -> None:
        if len(source) > MAX_TEMPLATE_CHARS:
            raise TemplateError(
                f"chat template is too long: {len(source)} characters of {MAX_TEMPLATE_CHARS}"
            )
        self.source = source
        self._environment = ChatEnvironment()
        try:
            self._template = self._environment.from_string(source)
        except Exception as error:  # a foreign program may fail in any way
            raise _failed("cannot be compiled", error) from error

    @cached_property
    def thought_key(self) -> str:
        """The name under which this template takes a thought, empty where it takes none.

        Templates that drop old thoughts show that of a turn at the end, so one is shown to them.
        """
        question = {"role": "user", "content": "question"}
        for key in THOUGHT_KEYS:
            answer = {"role": "assistant", "content": "answer", key: _THOUGHT}
            with suppress(TemplateError):
                if _THOUGHT in self.render([question, answer], "", "", add_generation_prompt=False):
                    return key
        return ""

    def render(
        self, turns: Sequence[Turn], bos: str, eos: str, *, add_generation_prompt: bool = True
    ) -> str:
        """Return the text of a conversation; a turn has `role`, `content`, maybe a thought."""
        messages = [dict(turn) for turn in turns]
        characters = sum(len(value) for message in messages for value in message.values())
        limit = 4 * characters + SPARE_CHARS
        parts: list[str] = []
        length = 0
        try:
            self._environment.allow(seconds=TIME_LIMIT_S, characters=limit)
            for part in self._template.generate(
                messages=messages,
                bos_token=bos,
                eos_token=eos,
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
            ):
                self._environment.check_time()
                length += len(part)
                if length > limit:
                    raise TemplateError(
                        f"chat template is refused: it writes more than {limit} characters"
                    )
                parts.append(part)
        except TemplateError:
            raise
        except Exception as error:  # a foreign program may fail in any way
            raise _failed("fails", error) from error
        return "".join(parts)


def _failed(what: str, error: Exception) -> TemplateError:
    reason = " ".join((str(error) or type(error).__name__).split())[:200]
    return TemplateError(f"chat template {what}: {reason}")
