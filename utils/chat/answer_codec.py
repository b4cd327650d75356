"""Answers and their settings as JSON values and back, whichever version wrote them.

What a version does not know is left out, what another did not write is as in an empty answer. Of a
request neither messages nor owner are written: those follow from the turns before, and who knows
the other is taken for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from itertools import accumulate, pairwise
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from config import SamplingParams, SpeculativeConfig
from utils.chat.snapshots import AnswerRequest, JobSnapshot, SourceRun
from utils.chat.turns import AnswerSettings
from utils.errors import RequestError
from utils.events import TokenSource
from utils.performance_monitor import Baseline, GenerationStats, RoundStats

CUT_OFF = "the app ended while this answer was being written: go on with it, or write it again"
ELSEWHERE = (
    "another SpecChat on the same data folder is writing this answer: reload this page to see more"
)
LOST = "this answer cannot be read any more: write it again"
T = TypeVar("T")

_ANSWERS = TypeAdapter(JobSnapshot)
_SETTINGS = TypeAdapter(AnswerSettings)
_SOURCES = frozenset(get_args(TokenSource))
_APART = {"messages", "owner", "begun", "enrolment"}
_LEFT_OUT: dict[str, Any] = {"request": _APART, "rounds": True, "runs": True}
_NUMBERS = tuple(field.name for field in fields(RoundStats) if field.name != "drafter")


def encode_answer(answer: JobSnapshot) -> dict[str, Any]:
    """Return an answer as values that JSON knows."""
    data: dict[str, Any] = _ANSWERS.dump_python(answer, mode="json", exclude=_LEFT_OUT)
    return {**data, "rounds": _columns(answer.rounds), "runs": _cuts(answer)}


def decode_answer(data: object, owner: str = "") -> JobSnapshot:
    """Return the answer that was encoded, as one of `owner`; raises `RequestError` for none."""
    known = _dict(data, "an answer")
    if not isinstance(known.get("text"), str) or not isinstance(known.get("state"), str):
        raise RequestError("an answer has no text or no state: take a file that was exported here")
    asked = known.get("request")
    request = {**(asked if isinstance(asked, dict) else {}), "messages": (), "owner": owner}
    answer = _read(_ANSWERS, _EMPTY, {**known, "request": request, "rounds": (), "runs": ()})
    rounds = _rounds(known.get("rounds"))
    return replace(answer, rounds=rounds, runs=_runs(known.get("runs"), answer.text))


def encode_settings(settings: AnswerSettings) -> dict[str, Any]:
    """Return settings as values that JSON knows."""
    data: dict[str, Any] = _SETTINGS.dump_python(settings, mode="json", exclude={"enrolment": True})
    return data


def decode_settings(data: object) -> AnswerSettings:
    """Return the settings that were encoded, defaults for all that is not there or not allowed."""
    return _read(_SETTINGS, _DEFAULTS, _dict(data, "the settings of an answer"))


def cut_off(answer: JobSnapshot) -> JobSnapshot:
    """Return an answer that nobody writes any more as one that failed."""
    if not answer.is_active:
        return answer
    return replace(
        answer, version=answer.version + 1, state="failed", queue_position=0, error=CUT_OFF
    )


def written_elsewhere(answer: JobSnapshot) -> JobSnapshot:
    """Return an answer that another run of the app is writing, as far as that has saved it."""
    return replace(answer, error=ELSEWHERE) if answer.is_active else answer


def lost_answer(settings: AnswerSettings, owner: str) -> JobSnapshot:
    """Return what stands for an answer that cannot be read."""
    request = AnswerRequest((), settings.sampling, settings.speculative, owner, settings.model)
    return replace(_ANSWERS.validate_python(_EMPTY), request=request, error=LOST)


def _read(adapter: TypeAdapter[T], empty: dict[str, Any], data: dict[str, Any]) -> T:
    """Validate `data` over `empty`; a value that is not allowed counts as not there."""
    merged = _merged(empty, data)
    try:
        return adapter.validate_python(merged)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            _reset(merged, empty, problem["loc"])
    try:
        return adapter.validate_python(merged)
    except ValidationError as error:
        (place, *_) = (problem["loc"] for problem in error.errors(include_url=False))
        raise RequestError(
            f"a kept answer cannot be read at {'.'.join(map(str, place))}: take a file that was "
            "exported here"
        ) from error


def _merged(empty: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _merged(value, data[name])
        if value and isinstance(value, dict) and isinstance(data.get(name), dict)
        else data.get(name, value)
        for name, value in empty.items()
    }


def _reset(merged: dict[str, Any], empty: dict[str, Any], place: Sequence[str | int]) -> None:
    name, *deeper = place
    inner = empty.get(str(name))
    if deeper and inner and isinstance(inner, dict) and isinstance(merged[str(name)], dict):
        _reset(merged[str(name)], inner, deeper)
    else:
        merged[str(name)] = inner


def _columns(rounds: Sequence[RoundStats]) -> dict[str, list[Any]]:
    """Return rounds by column, their drafters by number: a fifth of what a table by row takes."""
    drafters = list(dict.fromkeys(stats.drafter for stats in rounds))
    numbers = {drafter: number for number, drafter in enumerate(drafters)}
    columns: dict[str, list[Any]] = {
        name: [getattr(stats, name) for stats in rounds] for name in _NUMBERS
    }
    return {"drafters": drafters, "drafter": [numbers[s.drafter] for s in rounds], **columns}


def _rounds(data: object) -> tuple[RoundStats, ...]:
    """Return the rounds of such columns, none where they are not sound."""
    if not isinstance(data, dict):
        return ()
    try:
        drafters = [None if name is None else str(name) for name in data["drafters"]]
        written_by = [drafters[number] for number in data["drafter"]]
        zeros = [0] * len(written_by)
        rows = zip(written_by, *(_checked(data.get(name, zeros)) for name in _NUMBERS), strict=True)
        return tuple(RoundStats(*row) for row in rows)
    except (LookupError, TypeError, ValueError):
        return ()


def _checked(column: Iterable[Any]) -> list[Any]:
    numbers = list(column)
    if all(type(number) in (int, float) and number >= 0 for number in numbers):
        return numbers
    raise TypeError("a round holds something else than counts and times")


def _cuts(answer: JobSnapshot) -> dict[str, list[Any]]:
    """Return sources and lengths of runs, or their texts where those are not the answer's."""
    sources = [run.source for run in answer.runs]
    texts = [run.text for run in answer.runs]
    if "".join(texts) == answer.text:
        return {"sources": sources, "lengths": list(map(len, texts))}
    return {"sources": sources, "texts": texts}


def _runs(data: object, text: str) -> tuple[SourceRun, ...]:
    """Return the runs of such columns, none where they are not sound."""
    if not isinstance(data, dict):
        return ()
    try:
        if not set(data["sources"]) <= _SOURCES:
            return ()
        pieces = map(str, data["texts"]) if "texts" in data else _pieces(data["lengths"], text)
        return tuple(map(SourceRun, data["sources"], pieces))
    except (LookupError, TypeError):
        return ()


def _pieces(lengths: Iterable[Any], text: str) -> list[str]:
    ends = list(accumulate(_checked(lengths)))
    return [text[start:end] for start, end in pairwise([0, *ends])]


def _dict(data: object, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise RequestError(f"{what} is no JSON object: take a file that was exported here")
    return data


_NO_REQUEST = AnswerRequest((), SamplingParams(), SpeculativeConfig(), "")
_NO_STATS = GenerationStats(0, 0, 0, 0.0, 0.0, 0.0, 0, 0, 0, (), Baseline())
_EMPTY: dict[str, Any] = _ANSWERS.dump_python(
    JobSnapshot(
        version=0,
        state="failed",
        request=_NO_REQUEST,
        started_at=0.0,
        text="",
        runs=(),
        mode=None,
        drafter=None,
        reason="",
        queue_position=0,
        prompt_done=0,
        prompt_total=0,
        seed=None,
        stats=_NO_STATS,
        rounds=(),
        finish_reason=None,
        error=None,
    ),
    mode="json",
    exclude={"request": {"begun": True, "enrolment": True}},
)
_DEFAULTS = encode_settings(AnswerSettings(SamplingParams(), SpeculativeConfig()))
