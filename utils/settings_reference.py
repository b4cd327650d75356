"""Every setting in words: its variable, default, allowed values and meaning."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dotenv import dotenv_values
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError


@dataclass(frozen=True, slots=True)
class SettingReference:
    """One environment variable."""

    variable: str
    default: str
    allowed: str
    meaning: str


def describe_settings(model: type[BaseModel], prefix: str) -> Iterator[SettingReference]:
    """List the variables that fill `model`, those of nested models in place of the whole."""
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from describe_settings(field.annotation, f"{variable}__")
        else:
            yield SettingReference(variable, _default(field), _allowed(field), _meaning(field))


def explain_problem(problem: ErrorDetails, model: type[BaseModel], prefix: str) -> str:
    """Say which variable is wrong, what was found there, and what is allowed."""
    name, value = prefix + "__".join(map(str, problem["loc"])).upper(), repr(problem["input"])
    for setting in describe_settings(model, prefix):
        if name == setting.variable or name.startswith(f"{setting.variable}__"):
            return f"{setting.variable} is wrong: found {value}; allowed is {setting.allowed}"
    known = [setting.variable for setting in describe_settings(model, prefix)]
    near = " or ".join(get_close_matches(name, known, cutoff=0.5))
    return f"{name} is no setting: found {value}; did you mean {near}"


def explain_json(error: SettingsError, model: type[BaseModel], prefix: str, env_file: str) -> str:
    """Say which variable holds what is no JSON, though it should."""
    text = getattr(error.__cause__, "doc", None)
    given = {**dotenv_values(env_file, encoding="utf-8"), **os.environ}
    names = (name.upper() for name, value in given.items() if value == text)
    name = next((name for name in names if name.startswith(prefix)), prefix)
    allowed = {setting.variable: setting.allowed for setting in describe_settings(model, prefix)}
    return f"{name} is wrong: found {text!r}; allowed is {allowed.get(name, 'a JSON object')}"


def _meaning(field: FieldInfo) -> str:
    return field.description or ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, Path) and value.is_relative_to(Path.home()):
        return f"~/{value.relative_to(Path.home()).as_posix()}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _allowed(field: FieldInfo) -> str:
    if isinstance(field.json_schema_extra, dict) and "allowed" in field.json_schema_extra:
        return str(field.json_schema_extra["allowed"])
    return _words(field.annotation, field.metadata)


def _words(kind: Any, limits: Sequence[Any]) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(parts[0], parts[1:])
    if origin in (Union, UnionType):
        chosen = next(part for part in parts if part is not NoneType)
        return f"{_words(chosen, limits)}, or empty"
    if origin is Literal:
        return f"{', '.join(parts[:-1])} or {parts[-1]}"
    if origin is dict:
        return f"a JSON object of{_size(limits, 'entries')}, each {_words(parts[1], ())}"
    if origin is tuple:
        if parts[0] is Path:
            return "paths of folders"
        return f"a JSON list of{_size(limits, 'texts')}, each {_words(parts[0], ())}"
    if kind is bool:
        return "true or false"
    if kind is int:
        return f"a whole number{_range(limits)}"
    if kind is float:
        return f"a number{_range(limits)}"
    return "the path of a folder" if kind is Path else f"a text of{_size(limits, 'characters')}"


def _range(limits: Sequence[Any]) -> str:
    least, above = _limit(limits, "ge"), _limit(limits, "gt")
    most, below = _limit(limits, "le"), _limit(limits, "lt")
    start = f" above {above}, up" if least is None else f" from {least}"
    return f"{start} to {most if below is None else below - 1}"


def _size(limits: Sequence[Any], unit: str) -> str:
    least, most = _limit(limits, "min_length"), _limit(limits, "max_length")
    if most is None:
        return f" {least or 0} or more {unit}"
    return f" {least or 0} to {most} {unit}"


def _limit(limits: Sequence[Any], name: str) -> Any:
    flat = [part for limit in limits for part in getattr(limit, "metadata", (limit,))]
    return next((value for part in flat if (value := getattr(part, name, None)) is not None), None)
