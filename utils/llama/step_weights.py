"""Which weights a model has for what: those that a pass over one token reads, and its layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from utils.llama.gguf_reader import TensorInfo

# Of these one row is read for a token, the first of them unless it is the output, too.
_EMBEDDINGS, _OUTPUT = "token_embd.weight", "output.weight"
_MORE_EMBEDDINGS = "per_layer_token_embd.weight"
_EXPERTS = "_exps."
_LAYER = "blk."


def count_step_bytes(
    pairs: Mapping[str, object], architecture: str, tensors: Iterable[TensorInfo]
) -> int:
    """Return the bytes of weights that a pass over one token reads: of experts those it asks."""
    sizes = {tensor.name: tensor.size_bytes for tensor in tensors}
    sizes.pop(_MORE_EMBEDDINGS, None)
    if _OUTPUT in sizes:
        sizes.pop(_EMBEDDINGS, None)
    asked = pairs.get(f"{architecture}.expert_used_count")
    experts = pairs.get(f"{architecture}.expert_count")
    share = 1.0
    if isinstance(asked, int) and isinstance(experts, int) and 0 < asked < experts:
        share = asked / experts
    read = sum(size * (share if _EXPERTS in name else 1) for name, size in sizes.items())
    return max(1, round(read))


def count_layer_parameters(tensors: Iterable[TensorInfo]) -> int:
    """Return the weights of all layers: a model is as able as these are many, not its tables."""
    return max(1, sum(t.elements for t in tensors if t.name.startswith(_LAYER)))
