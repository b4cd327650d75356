"""One file of figures from several runs, each of which measured a part."""

from __future__ import annotations

from typing import Any

KEY = ("target", "draft", "type", "temperature")
# What files of before told as the last category.
ALL = "all"


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return `new`, with what only `old` has: other pairs, and figures of the same pairs.

    Every figure is still a ratio within one run; the machine is that of the new one.
    """
    earlier = {_key(pair): _with_total_apart(pair) for pair in old.get("pairs", [])}
    pairs = []
    for pair in new["pairs"]:
        known = earlier.pop(_key(pair), {})
        measured = {name: value for name, value in pair.items() if _is_known(value)}
        pairs.append({**pair, **known, **measured})
    kept = {name: old[name] for name in old if not _is_known(new.get(name))}
    return {**new, **kept, "pairs": [*earlier.values(), *pairs]}


def _with_total_apart(figures: dict[str, Any]) -> dict[str, Any]:
    """Take all prompts from among the categories of a pair, and of each of its ways."""
    found = dict(figures)
    for category in figures.get("categories") or []:
        if category.get("name") == ALL:
            kept = [other for other in figures["categories"] if other is not category]
            found |= {"categories": kept, ALL: category}
    if ways := figures.get("ways"):
        found["ways"] = [_with_total_apart(way) for way in ways]
    return found


def _key(pair: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(pair.get(name) for name in KEY)


def _is_known(value: Any) -> bool:
    return value is not None and value != []
