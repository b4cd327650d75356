"""Comparisons as JSON values and back, as far as answers and settings are, whoever wrote them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from utils.backends.protocol import BackendName
from utils.chat.answer_codec import (
    decode_answer,
    decode_settings,
    encode_answer,
    encode_settings,
)
from utils.chat.race_snapshots import (
    SIDES,
    Divergence,
    Entrant,
    RaceRequest,
    RaceSnapshot,
    Run,
    Side,
)
from utils.chat.turns import AnswerSettings
from utils.engine.protocol import ChatMessage
from utils.errors import RequestError

_MESSAGES = TypeAdapter(tuple[ChatMessage, ...])
_BACKENDS: TypeAdapter[BackendName] = TypeAdapter(BackendName)
_SIDE: TypeAdapter[Side] = TypeAdapter(Side)
_DIVERGENCE = TypeAdapter(Divergence)


def encode_race(race: RaceSnapshot) -> dict[str, Any]:
    """Return what was asked and what the ended runs wrote, as values that JSON knows.

    Id, state, owner, time and vote are not among them.
    """
    request = race.request
    return {
        "messages": [message.model_dump(mode="json") for message in request.messages],
        "sides": {side: _encode_side(request, side) for side in SIDES},
        "runs_each": request.runs_each,
        "model_name": request.model_name,
        "is_blind": request.is_blind,
        "runs": [{"side": run.side, "answer": encode_answer(run.answer)} for run in race.runs],
        "divergence": asdict(race.divergence) if race.divergence else None,
        "error": race.error,
    }


def decode_race(data: Any, owner: str, **known: Any) -> RaceSnapshot:
    """Return the comparison of these values and of what is `known` besides, as one of `owner`.

    Raises `RequestError` where they are none.
    """
    try:
        request = _request(data, owner)
        parted = data["divergence"]
        read = RaceSnapshot(
            request=request,
            runs=tuple(_run(run, request) for run in data["runs"]),
            divergence=_DIVERGENCE.validate_python(parted) if parted else None,
            error=str(data["error"]),
            **known,
        )
    except (LookupError, TypeError, ValueError) as error:
        raise RequestError(
            f"this comparison cannot be read any more: {str(error)[:200]}; start it again"
        ) from error
    return read


def _encode_side(request: RaceRequest, side: Side) -> dict[str, Any]:
    entrant = request.entrant(side)
    settings = AnswerSettings(request.sampling, entrant.speculative, model=request.model)
    return {"backend": entrant.backend, "settings": encode_settings(settings)}


def _request(data: Any, owner: str) -> RaceRequest:
    settings = {side: decode_settings(data["sides"][side]["settings"]) for side in SIDES}
    a, b = (
        Entrant(
            settings[side].speculative, _BACKENDS.validate_python(data["sides"][side]["backend"])
        )
        for side in SIDES
    )
    return RaceRequest(
        messages=_MESSAGES.validate_python(data["messages"]),
        sampling=settings["a"].sampling,
        a=a,
        b=b,
        runs_each=int(data["runs_each"]),
        model=settings["a"].model,
        model_name=str(data["model_name"]),
        owner=owner,
        is_blind=bool(data["is_blind"]),
    )


def _run(data: Any, request: RaceRequest) -> Run:
    side = _SIDE.validate_python(data["side"])
    return Run(side, request.entrant(side), decode_answer(data["answer"], request.owner))
