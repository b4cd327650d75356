"""What a draft is expected to do for a target before it has drafted: arithmetic over two headers.

Writing a token is bound by memory: it takes as long as the weights that it needs take to be read,
and some time for every layer besides, which is most of what a very small draft takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

from utils.llama.gguf_header import GGUFHeader

MAX_WIDTH = 17
# What a token more adds to a pass where nobody has measured it, in plain steps.
ASSUMED_GROWTH = 0.15
# Memory of the machine and of a GPU, where nothing was measured; and what is no reading.
READ_BYTES_PER_S, GPU_READ_BYTES_PER_S = 30e9, 300e9
STEP_S, LAYER_S = 150e-6, 20e-6
MOST_BESIDE_READING = 0.25
# A line through what Leviathan et al. measured (arXiv 2211.17192, tables 2 and 3), 4 to 10 halvings
# from the target's size: a draft of its size, and how much less often each halving is right.
RATE_OF_EQUAL, LOSS_BY_HALVING = 0.82, 0.022
# The same model in fewer bits, without what those cost.
RATE_OF_TWIN = 0.95
LEAST_RATE, LOSS_OF_STRANGER = 0.1, 0.15


def expected_speedup(
    acceptance: float, draft_cost: float, pass_costs: Sequence[float] = ()
) -> float:
    """Return the speedup at the best draft length; 1 where none pays.

    The formula of Leviathan et al. (arXiv 2211.17192), with what a pass over 1, 2, 3... tokens
    really costs: `draft_cost`, of one drafted token, and `pass_costs` are in plain steps.
    """
    costs = pass_costs or [1 + ASSUMED_GROWTH * more for more in range(MAX_WIDTH)]
    best = tokens = survival = 1.0
    for length, cost in enumerate(costs[1:], start=1):
        survival *= acceptance
        tokens += survival
        best = max(best, tokens / (cost + length * draft_cost))
    return best


def could_pay(
    target: GGUFHeader, draft: GGUFHeader, acceptance: float, *, on_gpu: bool = False
) -> bool:
    """Tell whether drafting pays at what tokens and passes usually cost, whatever was measured."""
    return expected_speedup(acceptance, token_cost(target, draft, on_gpu=on_gpu)) > 1


def usual_acceptance(
    target: GGUFHeader, draft: GGUFHeader, *, overlap: float | None = None
) -> float:
    """Return the share of drafted tokens that is usually kept of a draft so small.

    `overlap` is what another vocabulary has in common with the target's; None: it is the same.
    """
    if is_twin(target, draft):
        rate = RATE_OF_TWIN
    else:
        halvings = max(0.0, log2(target.layer_parameters / draft.layer_parameters))
        rate = RATE_OF_EQUAL - LOSS_BY_HALVING * halvings
    if draft.architecture != target.architecture:
        rate -= LOSS_OF_STRANGER
    if overlap is not None:
        rate = (rate - LOSS_OF_STRANGER) * overlap
    # What a weight loses in few bits: next to nothing in 8, a twentieth in 4, a quarter in 2.
    bits = 8 * draft.size_bytes / draft.parameters
    return max(LEAST_RATE, rate * (1 - 2**-bits))


def is_twin(target: GGUFHeader, draft: GGUFHeader) -> bool:
    """Tell whether the draft is, by its shape, the target itself in other numbers."""
    return _shape(target) == _shape(draft)


def token_cost(
    target: GGUFHeader, draft: GGUFHeader, *, step_s: float | None = None, on_gpu: bool = False
) -> float:
    """Return what drafting a token takes, in plain steps of the target, which take `step_s`.

    Where nobody has measured that, it is estimated too: for a model on a GPU, or on the processor.
    """
    usual_s = _beside_reading_s(target)
    if step_s is None:
        step_s = usual_s + target.step_bytes / (
            GPU_READ_BYTES_PER_S if on_gpu else READ_BYTES_PER_S
        )
    # Begins with hope where that would be most of a step: what is thought too dear is never tried.
    beside_s = min(usual_s, MOST_BESIDE_READING * step_s)
    reading_s = (step_s - beside_s) * draft.step_bytes / target.step_bytes
    return (beside_s * _beside_reading_s(draft) / usual_s + reading_s) / step_s


def _beside_reading_s(header: GGUFHeader) -> float:
    return STEP_S + LAYER_S * header.block_count


def _shape(header: GGUFHeader) -> tuple[object, ...]:
    return header.architecture, header.parameters, header.block_count, header.embedding_length
