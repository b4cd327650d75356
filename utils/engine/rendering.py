"""Prompts for a target without a template of its own, made by whoever knows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from utils.engine.conversation import (
    REFILLED,
    count_pairs,
    fewest_pairs_by_chars,
    room_for_prompt,
    without_oldest,
)
from utils.engine.protocol import ChatMessage, Generate, Inspect, Inspected, RenderedPrompt

# Makes a prompt, given the texts that stand for control tokens of the target.
Render = Callable[[Sequence[ChatMessage], Sequence[str]], Awaitable[RenderedPrompt | None]]
RenderPrompt = Callable[[Sequence[ChatMessage]], Awaitable[RenderedPrompt | None]]
Count = Callable[[Inspect], Awaitable[Inspected]]


async def render_fitting(
    request: Generate, render: RenderPrompt, count: Count, *, context_tokens: int
) -> Generate:
    """Return the request with its prompt, without the oldest messages where that is wanted.

    Only the worker can count tokens, and only others can make the prompt: in turns they find how
    much of a long conversation fits.
    """
    messages, pairs = request.messages, 0
    room = room_for_prompt(context_tokens, request.sampling.max_tokens)
    while (rendered := await render(request.messages)) is not None:
        request = request.model_copy(update={"rendered": rendered})
        if not request.drop_oldest or pairs >= count_pairs(messages):
            break
        tokens = (await count(_measure(request))).prompt_tokens
        if tokens <= room:
            break
        chars = int(REFILLED * len(rendered.text) * room / tokens)
        pairs = max(pairs + 1, fewest_pairs_by_chars(messages, chars))
        request = request.model_copy(update={"messages": without_oldest(messages, pairs)})
    return request


def _measure(request: Generate) -> Inspect:
    return Inspect(
        id=f"{request.id}-length",
        messages=request.messages,
        rendered=request.rendered,
        written=request.written,
        written_ids=request.written_ids,
        counts_only=True,
    )
