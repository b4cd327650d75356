"""Small records, converted between data formats."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from random import Random

from .words import CITIES, COLORS, DAYS, MONTHS, NAMES, NOUNS, Turn, code_block, markdown_table

Row = dict[str, str]
FIELDS: dict[str, Callable[[Random], str]] = {
    "name": lambda r: r.choice(NAMES),
    "city": lambda r: r.choice(CITIES),
    "age": lambda r: str(r.randint(18, 80)),
    "color": lambda r: r.choice(COLORS),
    "item": lambda r: r.choice(NOUNS),
    "price": lambda r: f"{r.randint(1, 99)}.{r.randint(1, 9)}",
    "count": lambda r: str(r.randint(1, 500)),
    "day": lambda r: r.choice(DAYS),
    "month": lambda r: r.choice(MONTHS),
    "size": lambda r: r.choice(("small", "medium", "large")),
    "speed": lambda r: f"{r.randint(1, 80)}.{r.randint(1, 9)}",
    "id": lambda r: str(r.randint(100, 9999)),
    "status": lambda r: r.choice(("open", "closed", "done", "waiting")),
    "model": lambda r: r.choice(("tiny", "base", "draft", "target", "big")),
    "email": lambda r: f"{r.choice(NAMES).lower()}@example.{r.choice(('com', 'org', 'net'))}",
    "active": lambda r: r.choice(("true", "false")),
}


def json_value(text: str) -> object:
    """Return the JSON value of a field."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def to_pairs(rows: list[Row]) -> str:
    """Return one line of ``key=value`` pairs a row."""
    return "\n".join(" ".join(f"{k}={v}" for k, v in row.items()) for row in rows)


def to_csv(rows: list[Row]) -> str:
    """Return CSV with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().strip()


def to_json(rows: list[Row]) -> str:
    """Return one JSON object, or a list with an object a line."""
    values = [{k: json_value(v) for k, v in row.items()} for row in rows]
    if len(values) == 1:
        return json.dumps(values[0], indent=2)
    return "[\n" + ",\n".join("  " + json.dumps(v) for v in values) + "\n]"


def to_yaml(rows: list[Row]) -> str:
    """Return one YAML mapping, or a list of mappings."""
    if len(rows) == 1:
        return "\n".join(f"{k}: {v}" for k, v in rows[0].items())
    return "\n".join("- " + "\n  ".join(f"{k}: {v}" for k, v in row.items()) for row in rows)


def to_table(rows: list[Row]) -> str:
    """Return a markdown table."""
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows])


FORMATS: dict[str, tuple[str, Callable[[list[Row]], str]]] = {
    "key=value pairs": ("text", to_pairs),
    "CSV": ("csv", to_csv),
    "JSON": ("json", to_json),
    "YAML": ("yaml", to_yaml),
    "a markdown table": ("", to_table),
}


def written(name: str, rows: list[Row]) -> str:
    """Return the rows in a format, fenced where the format has a language."""
    language, write = FORMATS[name]
    return code_block(write(rows), language) if language else write(rows)


def convert(rng: Random) -> Turn:
    """Ask to convert a few records from one format to another."""
    fields = rng.sample(list(FIELDS), rng.randint(2, 4))
    count = rng.choice((1, 2, 2, 3, 3, 4, 5))
    rows = [{field: FIELDS[field](rng) for field in fields} for _ in range(count)]
    source, target, third = rng.sample(list(FORMATS), 3)
    request = rng.choice(
        (
            f"Convert this to {target}:",
            f"Turn this into {target}:",
            f"Please write this as {target}:",
            f"Convert the following {source.removeprefix('a ')} to {target}:",
            f"Can you rewrite this data as {target}?",
        )
    )
    question = f"{request}\n\n{FORMATS[source][1](rows)}"
    return Turn(question, written(target, rows), (f"Now as {third}.", written(third, rows)))
