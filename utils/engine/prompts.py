"""From a request to the tokens that a model reads: the conversation, as much of it as fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from config import SpeculativeConfig
from utils.engine.conversation import (
    MESSAGE_TOKENS,
    fewest_pairs,
    room_for_prompt,
    without_oldest,
)
from utils.engine.history import TokenHistory
from utils.engine.protocol import ChatMessage, Generate, Inspect
from utils.errors import RequestError
from utils.llama.chat_prompt import (
    ChatTemplate,
    encode_chat,
    encode_continued,
    encode_rendered,
    opened_thought,
)
from utils.llama.model import LlamaModel
from utils.speculative_decoding import EQUAL_WIDTH


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens of a conversation, and apart those of the answer that has begun.

    `dropped_messages` of the conversation were left out; `opened` is the mark of a thought that the
    prompt ends with.
    """

    token_ids: list[int]
    begun: list[int]
    dropped_messages: int = 0
    opened: str = ""


class PromptMaker:
    """Makes the prompts of one target; its `history` keeps the ids of what came before."""

    def __init__(self, model: LlamaModel, template: ChatTemplate) -> None:
        self.history = TokenHistory(model.vocabulary)
        self._vocabulary = model.vocabulary
        self._context_tokens = model.session.n_ctx
        self._template = template

    def encode(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Return the tokens of a conversation, with its former ids where it is known."""
        return self.history.splice(encode_chat(self._vocabulary, self._template, messages))

    def make(self, request: Generate | Inspect) -> Prompt:
        """Return the whole prompt of a request, however long it is.

        Raises `RequestError` for ids of another model.
        """
        if request.rendered is None:
            token_ids = self.encode(request.messages)
        else:
            rendered = request.rendered
            token_ids = self.history.splice(
                encode_rendered(self._vocabulary, rendered.text, marker=rendered.marker)
            )
        if any(token_id >= self._vocabulary.size for token_id in request.written_ids):
            raise RequestError("the answer cannot be gone on with: another model began it")
        # Whoever began may have written the mark that this prompt ends with.
        opened = opened_thought(self._vocabulary, token_ids)
        begun = list(request.written_ids)
        if not begun and request.written:
            begun = encode_continued(self._vocabulary, request.written.removeprefix(opened))
        return Prompt(token_ids, begun, opened=opened)

    def fit(self, request: Generate) -> Prompt:
        """Return the prompt, without the oldest messages where that is wanted and needed."""
        prompt = self.make(request)
        room = self._room(request.sampling.max_tokens, request.speculative)
        is_long = len(prompt.token_ids) + len(prompt.begun) > room
        if not (request.drop_oldest and is_long and request.rendered is None):
            return prompt
        messages, begun = request.messages, len(prompt.begun)
        pairs = fewest_pairs(
            messages,
            self._sizes(messages, begun),
            room,
            lambda n: len(self.encode(without_oldest(messages, n))) + begun <= room,
        )
        kept = without_oldest(messages, pairs)
        dropped = len(messages) - len(kept)
        return Prompt(self.encode(kept), prompt.begun, dropped, prompt.opened)

    def _room(self, max_tokens: int, speculative: SpeculativeConfig) -> int:
        spare = EQUAL_WIDTH if speculative.deterministic else 0
        return room_for_prompt(self._context_tokens - spare, max_tokens)

    def _sizes(self, messages: Sequence[ChatMessage], begun: int) -> list[int]:
        """Return about how many tokens each message takes; the last one with what it has begun."""
        *sizes, last = (
            MESSAGE_TOKENS + len(encode_continued(self._vocabulary, message.written))
            for message in messages
        )
        return [*sizes, last + begun]
