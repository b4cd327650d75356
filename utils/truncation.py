"""Which tokens top-k and top-p leave: found without sorting, or weighing, what cannot matter."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from utils.model_session import FloatArray

BLOCK = 64
# Near the largest logit are those beyond which all others together weigh a tenth of what top-p
# leaves out, at most.
NEARNESS, MOST_NEAR = 10.0, 256
# Sums over the same in another order, or in less precision, differ by less.
ROUNDING = 1e-6


def truncated(logits: FloatArray, top: float, top_k: int, top_p: float) -> NDArray[np.int64]:
    """Return the ids that top-k and then top-p leave, ascending; `top` is the largest logit."""
    if top_p == 1:
        return largest(logits, top_k or len(logits))
    near = _nucleus_near(logits, top, min(top_k, len(logits)) or len(logits), top_p)
    if near is not None:
        return near
    if top_k:
        token_ids = largest(logits, top_k)
        return _nucleus(token_ids, logits[token_ids].astype(np.float64) - top, top_p, None)
    total = float(np.exp(logits - np.float32(top), dtype=np.float32).sum(dtype=np.float64))
    token_ids = _nucleus_candidates(logits, top, top_p * total)
    return _nucleus(token_ids, logits[token_ids].astype(np.float64) - top, top_p, total)


def largest(logits: FloatArray, count: int) -> NDArray[np.int64]:
    """Return the ids of the `count` largest logits, ascending; ties go to the smaller ids.

    Exact: at least `count` logits reach the count-th largest maximum of blocks of 64, so only
    the few above that threshold are sorted (5-7 times faster than argpartition of the row).
    """
    size = len(logits)
    if count >= size:
        return np.arange(size)
    whole = size // BLOCK
    if whole > count:
        # Blocks are columns: maxima over them are taken 16 at a time.
        maxima: FloatArray = logits[: whole * BLOCK].reshape(BLOCK, whole).max(axis=0)
        maxima.partition(whole - count)
        token_ids: NDArray[np.int64] = (logits >= maxima[whole - count]).nonzero()[0]
    else:
        token_ids = np.arange(size)
    if len(token_ids) > count:
        order = (-logits[token_ids]).argsort(kind="stable")[:count]
        order.sort()
        token_ids = token_ids[order]
    return token_ids


def _nucleus_near(
    logits: FloatArray, top: float, most: int, top_p: float
) -> NDArray[np.int64] | None:
    """Return the nucleus of the `most` largest logits, where those near the top decide it.

    Mostly they do, as a model is seldom in doubt: then no others are looked for. What these weigh
    is between nothing and as much as if each were as large as it can be; None where that makes a
    difference.
    """
    cut = np.float32(top - math.log(NEARNESS * most / (1 - top_p)))
    near = (logits >= cut).nonzero()[0]
    if len(near) > MOST_NEAR:
        return None
    others = max(0, most - len(near)) * math.exp(float(cut) - top)
    values = logits[near]
    weights = np.exp(values.astype(np.float64) - top)
    if top_p * (float(np.add.reduce(weights)) + others) < 1 - ROUNDING:
        best = int(values.argmax())
        return near[best : best + 1]
    order = (-values).argsort(kind="stable")[:most]
    reached = weights[order].cumsum()
    mass = float(reached[-1])
    last = int(reached.searchsorted(top_p * mass * (1 - ROUNDING)))
    if reached[last] < top_p * (mass + others) * (1 + ROUNDING):
        return None
    kept = order[: last + 1]
    kept.sort()
    return near[kept]


def _nucleus_candidates(logits: FloatArray, top: float, mass: float) -> NDArray[np.int64]:
    """Ids of so many of the largest logits that together they reach `mass`."""
    count = 256
    while count < len(logits):
        token_ids = largest(logits, count)
        if np.exp(logits[token_ids].astype(np.float64) - top).sum() >= mass:
            return token_ids
        count *= 8
    return np.arange(len(logits))


def _nucleus(
    token_ids: NDArray[np.int64], values: NDArray[np.float64], top_p: float, total: float | None
) -> NDArray[np.int64]:
    """Keep the likeliest tokens up to and including the one that reaches `top_p`."""
    order = (-values).argsort(kind="stable")
    weights = np.exp(values[order])
    reached = weights.cumsum() / (weights.sum() if total is None else total)
    kept = order[: int(reached.searchsorted(top_p)) + 1]
    kept.sort()
    return token_ids[kept]
