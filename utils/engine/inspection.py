"""A look at one position of an answer: how likely the target finds what might stand there."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from utils.engine.figures import TokenLogit
from utils.engine.protocol import Inspect, Inspected
from utils.errors import ContextFullError, ModelError, RequestError
from utils.llama.model import LlamaModel
from utils.model_session import DecodeAborted, prefill


async def inspect_next(model: LlamaModel, token_ids: Sequence[int], request: Inspect) -> Inspected:
    """Return the logits of the candidates, and the likeliest token, after `token_ids`.

    Raises `RequestError` for candidates that are no tokens, a text longer than the context, and
    where it was stopped.
    """
    session = model.session
    for token_id in request.candidates:
        if token_id >= session.n_vocab:
            raise RequestError(
                f"token {token_id} is none of this model: its ids go up to {session.n_vocab - 1}"
            )
    if len(token_ids) > session.n_ctx:
        raise ContextFullError(
            f"the answer cannot be looked at: it has {len(token_ids)} tokens with its prompt, the "
            f"context {session.n_ctx}"
        )
    try:
        for _ in prefill(session, token_ids[:-1]):
            await asyncio.sleep(0)
        logits = session.decode(token_ids[-1:], rows=1)[0]
    except DecodeAborted as error:
        raise RequestError("the inspection was stopped: nobody waits for it") from error

    def tell(token_id: int) -> TokenLogit:
        logit = float(logits[token_id])
        if not math.isfinite(logit):
            raise ModelError(f"the model produced invalid values: a logit is {logit}")
        return TokenLogit(token_id, _piece(model, token_id), logit)

    return Inspected(
        id=request.id,
        prompt_tokens=len(token_ids),
        candidates=tuple(map(tell, request.candidates)),
        top=tell(int(logits.argmax())),
    )


def _piece(model: LlamaModel, token_id: int) -> str:
    """Return what a token adds to a text; for a control token, its name."""
    piece = model.vocabulary.piece(token_id)
    return piece.decode(errors="replace") if piece else model.vocabulary.text(token_id)
