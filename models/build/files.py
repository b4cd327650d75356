"""Names of the GGUF weight types that the building commands can write."""

from __future__ import annotations

import gguf

FILE_TYPES = {
    "F32": gguf.LlamaFileType.ALL_F32,
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "BF16": gguf.LlamaFileType.MOSTLY_BF16,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}


def weight_type(type_name: str, dimensions: int) -> gguf.GGMLQuantizationType:
    """Return the type of a weight: matrices take the file's type, norms stay F32."""
    return gguf.GGMLQuantizationType["F32" if dimensions == 1 else type_name]
