"""Where two answers part, and how close the target's choice was there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from utils.chat.race_snapshots import Divergence, RaceRequest, Run
from utils.chat.snapshots import JobSnapshot
from utils.engine.runtime import EngineRuntime
from utils.errors import SpecChatError

INSPECT_TIMEOUT_S = 60.0
PIECE_CHARS = 24
BEFORE_CHARS = 48


@dataclass(frozen=True, slots=True)
class Parted:
    """Two answers that are not the same, and where."""

    a: JobSnapshot
    b: JobSnapshot
    divergence: Divergence


def find_divergence(runs: Sequence[Run]) -> Parted | None:
    """Return the pair of answers of A and B that part first; None where all are the same."""
    ended = [run for run in runs if run.counts]
    pairs = [
        parted
        for a in ended
        for b in ended
        if (a.side, b.side) == ("a", "b")
        if (parted := compare(a.answer, b.answer))
    ]
    return min(pairs, key=lambda parted: parted.divergence.shared_chars, default=None)


def compare(a: JobSnapshot, b: JobSnapshot) -> Parted | None:
    """Return where two answers part; None where they do not."""
    if a.text == b.text:
        return None
    chars = _shared(a.text, b.text)
    tokens = _shared(a.token_ids, b.token_ids)
    start = chars
    if chars < min(len(a.text), len(b.text)):
        start = max(a.text.rfind(mark, 0, chars) for mark in (" ", "\n")) + 1
    pieces = _word(a.text, start), _word(b.text, start)
    before = a.text[max(0, start - BEFORE_CHARS) : start]
    return Parted(a, b, Divergence(tokens, chars, pieces, before))


async def explained(parted: Parted, request: RaceRequest, runtime: EngineRuntime) -> Divergence:
    """Add the target's logits for both tokens, or why they are not known."""
    tokens = parted.divergence.shared_tokens
    answers = (parted.a, parted.b)
    if any(answer.servers for answer in answers):
        return replace(parted.divergence, problem="Ollama does not tell what it thinks of a token")
    following = [answer.token_ids[tokens : tokens + 1] for answer in answers]
    if not all(following):
        # Where one ended it wrote nothing that could be looked at.
        problem = "" if "" in parted.divergence.pieces else "their tokens are not told"
        return replace(parted.divergence, problem=problem)
    try:
        async with asyncio.timeout(INSPECT_TIMEOUT_S):
            seen = await runtime.answers.inspect(
                request.messages,
                written_ids=parted.a.token_ids[:tokens],
                candidates=(following[0][0], following[1][0]),
                model=parted.a.request.model,
                owner=parted.a.request.owner,
                dropped_messages=parted.a.dropped_messages,
            )
        a, b = seen.candidates
    except (SpecChatError, TimeoutError) as error:
        reason = str(error) or "the engine took too long"
        return replace(parted.divergence, problem=reason)
    top = seen.top.piece if seen.top else None
    return replace(parted.divergence, pieces=(a.piece, b.piece), logits=(a.logit, b.logit), top=top)


def _shared(a: Sequence[object], b: Sequence[object]) -> int:
    """Return how long the common beginning is."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))))


def _word(text: str, start: int) -> str:
    """Return the next word from there on; empty at the end of the text."""
    rest = text[start:].lstrip()
    return "".join(takewhile(lambda letter: not letter.isspace(), rest))[:PIECE_CHARS]
