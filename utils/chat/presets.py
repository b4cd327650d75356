"""Settings of answers under names, kept on disk, and checked again whenever they are read.

Values are what widgets hold: names and kinds as in `SamplingParams` and `SpeculativeConfig`, and
`model`, `backend`, `system_prompt` and `show_sources`. What a newer or older version wrote and this
one does not know is left out, so that a preset never stops working.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from config import SamplingParams, SpeculativeConfig
from utils.backends.protocol import BackendName
from utils.errors import RequestError
from utils.storage.database import Database

MAX_PRESETS = 100
MAX_NAME_CHARS = 60
MAX_SYSTEM_PROMPT_CHARS = 20_000
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings under a name; `values` are sound, and some may be missing."""

    id: int
    name: str
    values: Values


class _Others(BaseModel):
    """What else there is to choose, beside sampling and drafting."""

    model_config = ConfigDict(frozen=True)

    model: str = Field("", max_length=512)
    backend: BackendName = "auto"
    system_prompt: str = Field("", max_length=MAX_SYSTEM_PROMPT_CHARS)
    show_sources: bool = False


_CHECKS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(cast("Any", Annotated[field.annotation, field]))
    for model in (SamplingParams, SpeculativeConfig, _Others)
    for name, field in model.model_fields.items()
}


def sound_values(values: object) -> Values:
    """Return those of `values` that are known settings, each within its bounds."""
    if not isinstance(values, Mapping):
        return {}
    sound = {}
    for name, value in values.items():
        try:
            sound[name] = _CHECKS[name].validate_python(value)
        except (KeyError, ValidationError):
            continue
    return sound


def list_presets(database: Database, owner: str) -> tuple[Preset, ...]:
    """Return the presets of an owner, by name."""
    rows = database.read(
        "SELECT id, name, settings FROM presets WHERE owner = ? ORDER BY name", (owner,)
    )
    return tuple(Preset(row["id"], row["name"], _read(row["settings"])) for row in rows)


def save_preset(database: Database, owner: str, name: str, values: Values) -> None:
    """Keep settings under a name, in place of those that had it; raises `RequestError`."""
    name = _checked_name(name)
    with database.transaction() as connection:
        held = connection.execute(
            "SELECT count(*) FROM presets WHERE owner = ? AND name <> ?", (owner, name)
        ).fetchone()[0]
        if held >= MAX_PRESETS:
            raise RequestError(f"there are {held} presets already: delete one first")
        connection.execute(
            "INSERT INTO presets (owner, name, settings) VALUES (?, ?, ?)"
            " ON CONFLICT (owner, name) DO UPDATE SET settings = excluded.settings",
            (owner, name, json.dumps(sound_values(values))),
        )


def rename_preset(database: Database, owner: str, preset_id: int, name: str) -> None:
    """Give a preset another name; raises `RequestError` where another one has it."""
    name = _checked_name(name)
    with database.transaction() as connection:
        taken = connection.execute(
            "SELECT 1 FROM presets WHERE owner = ? AND name = ? AND id <> ?",
            (owner, name, preset_id),
        ).fetchone()
        if taken:
            raise RequestError(f"there is a preset of that name already: {name}; take another name")
        connection.execute(
            "UPDATE presets SET name = ? WHERE owner = ? AND id = ?", (name, owner, preset_id)
        )


def delete_preset(database: Database, owner: str, preset_id: int) -> None:
    """Forget a preset; one that is gone already is no error."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM presets WHERE owner = ? AND id = ?", (owner, preset_id))


def _read(text: str) -> Values:
    try:
        return sound_values(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise RequestError("the preset has no name: type one")
    if len(name) > MAX_NAME_CHARS:
        raise RequestError(
            f"the name is too long: {len(name)} characters; {MAX_NAME_CHARS} are allowed"
        )
    return name
