"""Prompts for a model whose template only Ollama knows, safe from control texts of users."""

from __future__ import annotations

from collections.abc import Sequence

from utils.backends.ollama import OllamaClient
from utils.engine.protocol import ChatMessage, RenderedPrompt
from utils.llama.control_texts import break_controls, fence_edges, unused_character


def ollama_turn(message: ChatMessage) -> dict[str, str]:
    """Return a message as Ollama takes it: a thought apart, for its template to judge."""
    turn: dict[str, str] = {"role": message.role, "content": message.content}
    return {**turn, "thinking": message.thinking} if message.thinking else turn


class OllamaPrompt:
    """Has Ollama render conversations for one of its models, without answering them."""

    def __init__(self, client: OllamaClient, model: str) -> None:
        self._client = client
        self._model = model

    async def render(
        self, messages: Sequence[ChatMessage], control_texts: Sequence[str]
    ) -> RenderedPrompt:
        """Return the prompt of a conversation; raises `BackendError`."""
        marker = unused_character(message.written for message in messages)

        def safe(text: str) -> str:
            return fence_edges(break_controls(text, control_texts, marker), control_texts, marker)

        turns = [
            {key: text if key == "role" else safe(text) for key, text in ollama_turn(each).items()}
            for each in messages
        ]
        return RenderedPrompt(text=await self._client.render(self._model, turns), marker=marker)
