"""What a person likes to find again after a reload: values by name, kept as JSON."""

from __future__ import annotations

import json
from typing import Any

from utils.storage.database import Database


def save_preference(database: Database, owner: str, name: str, value: Any) -> None:
    """Keep a value that JSON can hold, in place of the one before."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO preferences VALUES (?, ?, ?)"
            " ON CONFLICT (owner, name) DO UPDATE SET value = excluded.value",
            (owner, name, json.dumps(value)),
        )


def load_preference(database: Database, owner: str, name: str) -> Any:
    """Return the value, or None where none was kept or it cannot be read any more."""
    rows = database.read(
        "SELECT value FROM preferences WHERE owner = ? AND name = ?", (owner, name)
    )
    try:
        return json.loads(rows[0]["value"]) if rows else None
    except ValueError:
        return None
