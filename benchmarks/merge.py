"""One file of figures from several runs, each of which measured a part."""

from __future__ import annotations

from typing import Any

KEY = ("target", "draft", "type", "temperature")


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return `new`, with what only `old` has: other pairs, and figures of the same pairs.

    Every figure is still a ratio within one run; the machine is that of the new one.
    """
    earlier = {_key(pair): pair for pair in old.get("pairs", [])}
    pairs = []
    for pair in new["pairs"]:
        known = earlier.pop(_key(pair), {})
        measured = {name: value for name, value in pair.items() if _is_known(value)}
        pairs.append({**pair, **known, **measured})
    kept = {name: old[name] for name in old if not _is_known(new.get(name))}
    return {**new, **kept, "pairs": [*earlier.values(), *pairs]}


def _key(pair: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(pair.get(name) for name in KEY)


def _is_known(value: Any) -> bool:
    return value is not None and value != []
