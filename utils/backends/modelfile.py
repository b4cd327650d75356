"""Modelfiles as `ollama show` prints them, and the defaults that a model brings along."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from config import SamplingParams

_COMMAND = re.compile(r"([A-Za-z]+)[ \t]+(.*)", re.DOTALL)
_PARAMETER = re.compile(r"(\w+)[ \t]+(.*)", re.DOTALL)
_QUOTES = ('"""', '"')
# Ollama's word -> ours.
_SAMPLING = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "repetition_penalty",
    "repeat_last_n": "penalty_window",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "num_predict": "max_tokens",
}
# What a negative number, which stands for none or for no limit, becomes: here, or nothing at all.
_UNLIMITED: Mapping[str, int | None] = {"repeat_last_n": 4096, "seed": None, "num_predict": None}


@dataclass(frozen=True, slots=True)
class Modelfile:
    """What a model is made of: paths or names of files, texts, and parameters as written."""

    sources: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    template: str = ""
    system: str = ""
    parameters: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """What a model wants where the user says nothing; `ignored` says what could not be taken."""

    sampling: SamplingParams
    context_tokens: int | None = None
    system: str = ""
    template: str = ""
    ignored: tuple[str, ...] = ()


def parse_modelfile(text: str) -> Modelfile:
    """Read a Modelfile; what it does not know, it leaves out."""
    found: dict[str, list[str]] = {}
    parameters: dict[str, list[str]] = {}
    lines = text.splitlines(keepends=True)
    while lines:
        if (command := _COMMAND.fullmatch(lines.pop(0).rstrip("\r\n"))) is None:
            continue
        name, rest = command[1].lower(), command[2]
        if name == "parameter" and (parameter := _PARAMETER.fullmatch(rest)):
            parameters.setdefault(parameter[1], []).append(_value(parameter[2], lines))
        else:
            found.setdefault(name, []).append(_value(rest, lines))
    return Modelfile(
        sources=tuple(found.get("from", ())),
        drafts=tuple(found.get("draft", ())),
        adapters=tuple(found.get("adapter", ())),
        template="".join(found.get("template", ())[-1:]),
        system="".join(found.get("system", ())[-1:]),
        parameters=parameters,
    )


def model_defaults(modelfile: Modelfile, base: SamplingParams) -> ModelDefaults:
    """Return `base` with the parameters of the model in it, as far as they are sound."""
    ignored: list[str] = []
    sampling = base
    for theirs, ours in _SAMPLING.items():
        if values := modelfile.parameters.get(theirs):
            value = values[-1]
            if theirs in _UNLIMITED and _is_negative(value):
                value = _UNLIMITED[theirs]
            if value is not None:
                sampling = _with(sampling, theirs, {ours: value}, ignored)
    if stops := modelfile.parameters.get("stop"):
        sampling = _with(sampling, "stop", {"stop": tuple(stops)}, ignored)
    return ModelDefaults(
        sampling=sampling,
        context_tokens=_context(modelfile, ignored),
        system=modelfile.system,
        template=modelfile.template,
        ignored=tuple(ignored),
    )


def _value(text: str, lines: list[str]) -> str:
    for quote in _QUOTES:
        if not text.startswith(quote):
            continue
        if text.endswith(quote) and len(text) >= 2 * len(quote):
            return text[len(quote) : -len(quote)]
        for count, line in enumerate(lines, start=1):
            if line.rstrip("\r\n").endswith(quote):
                whole = f"{text}\n{''.join(lines[:count])}".rstrip("\r\n")
                del lines[:count]
                return whole[len(quote) : -len(quote)]
    return text


def _is_negative(value: Any) -> bool:
    try:
        return int(str(value)) < 0
    except ValueError:
        return False


def _with(
    sampling: SamplingParams, name: str, changes: Mapping[str, Any], ignored: list[str]
) -> SamplingParams:
    try:
        return SamplingParams.model_validate({**sampling.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        ignored.append(f"{name} {problem['input']!r}: {problem['msg'].lower()}")
        return sampling


def _context(modelfile: Modelfile, ignored: list[str]) -> int | None:
    values = modelfile.parameters.get("num_ctx")
    if not values:
        return None
    if str(values[-1]).isdecimal() and int(values[-1]) > 0:
        return int(values[-1])
    ignored.append(f"num_ctx {values[-1]!r}: not a number above 0")
    return None
