"""Sizes in words, in steps of a thousand as Ollama and most systems count them."""

from __future__ import annotations


def size(count_bytes: float) -> str:
    """Return bytes as kB, MB or GB."""
    if count_bytes >= 10**9:
        return f"{count_bytes / 10**9:.1f} GB"
    if count_bytes >= 10**6:
        return f"{count_bytes / 10**6:.0f} MB"
    return f"{count_bytes / 10**3:.0f} kB"
