"""`GET /health`: whether the app lives, whether it can answer, and what it still waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from api import VERSION
from utils.chat.wording import startup_line
from utils.engine.health import EngineHealth
from utils.pulls import PullSnapshot
from utils.startup import StartupSnapshot


@dataclass(frozen=True, slots=True)
class HealthRoute:
    """Answers with 200 while the engine works or is about to, with 503 if it failed or stalls.

    Ready it is when the engine is, and start-up waits for nothing any more.
    """

    read: Callable[[], EngineHealth]
    read_startup: Callable[[], StartupSnapshot]

    async def __call__(self, _request: Request) -> JSONResponse:
        """Return the state of engine and start-up as it is now."""
        health = self.read()
        body = _body(health, self.read_startup())
        return JSONResponse(body, status_code=200 if _is_well(health) else 503)


def health_route(
    read: Callable[[], EngineHealth],
    read_startup: Callable[[], StartupSnapshot] = StartupSnapshot,
) -> Route:
    """Return the route `GET /health`; what it reads must not block."""
    return Route("/health", HealthRoute(read, read_startup).__call__, methods=["GET"])


def _is_well(health: EngineHealth) -> bool:
    stalls = health.model is not None and health.state in ("ready", "busy") and not health.ready
    return health.live and not stalls


def _body(health: EngineHealth, startup: StartupSnapshot) -> dict[str, object]:
    return {
        "live": health.live,
        "ready": health.ready and startup.is_complete,
        "state": health.state,
        "reason": "; ".join(filter(None, (health.reason, startup_line(startup)))),
        "worker": {
            "pid": health.pid,
            "restarts": health.restarts,
            "progress_age_s": health.progress_age_s,
        },
        "queue_length": health.queue_length,
        "model": health.model.name if health.model else None,
        "pulls": [_pull(pull) for pull in startup.pulls],
        "version": VERSION,
    }


def _pull(pull: PullSnapshot) -> dict[str, object]:
    return {
        "name": pull.name,
        "state": pull.state,
        "done_bytes": pull.done_bytes,
        "total_bytes": pull.total_bytes,
        "error": pull.error,
    }
