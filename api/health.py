"""`GET /health`: whether the app lives, whether it can answer, and what the engine is doing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from api import VERSION
from utils.engine.health import EngineHealth


@dataclass(frozen=True, slots=True)
class HealthRoute:
    """Answers with 200 while the engine works or is about to, with 503 if it failed or stalls."""

    read: Callable[[], EngineHealth]

    async def __call__(self, _request: Request) -> JSONResponse:
        """Return the state of the engine as it is now."""
        health = self.read()
        return JSONResponse(_body(health), status_code=200 if _is_well(health) else 503)


def health_route(read: Callable[[], EngineHealth]) -> Route:
    """Return the route `GET /health`; `read` gives the engine's health and must not block."""
    return Route("/health", HealthRoute(read).__call__, methods=["GET"])


def _is_well(health: EngineHealth) -> bool:
    stalls = health.model is not None and health.state in ("ready", "busy") and not health.ready
    return health.live and not stalls


def _body(health: EngineHealth) -> dict[str, object]:
    return {
        "live": health.live,
        "ready": health.ready,
        "state": health.state,
        "reason": health.reason,
        "worker": {
            "pid": health.pid,
            "restarts": health.restarts,
            "progress_age_s": health.progress_age_s,
        },
        "queue_length": health.queue_length,
        "model": health.model.name if health.model else None,
        "version": VERSION,
    }
