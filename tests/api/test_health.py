from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from api import VERSION
from api.headers import security_headers
from api.health import health_route
from tests.chat.stand_in import READY
from utils.engine.health import EngineHealth
from utils.pulls import PullSnapshot
from utils.startup import StartupSnapshot


def get(health, startup=StartupSnapshot()):  # noqa: B008 - it is frozen
    route = health_route(lambda: health, lambda: startup)
    app = Starlette(routes=[route], middleware=[security_headers()])
    return TestClient(app).get("/health")


def test_a_ready_engine_is_well():
    response = get(READY)
    assert response.status_code == 200
    assert response.json() == {
        "live": True,
        "ready": True,
        "state": "ready",
        "reason": "",
        "worker": {"pid": 4242, "restarts": 0, "progress_age_s": 0.0},
        "queue_length": 0,
        "model": "embedded",
        "pulls": [],
        "version": VERSION,
    }


@pytest.mark.parametrize(
    ("health", "status"),
    [
        (EngineHealth(state="loading", live=True, stage="loading"), 200),
        (EngineHealth(state="restarting", live=True, reason="died"), 200),
        (EngineHealth(state="failed", reason="3 crashes"), 503),
        (EngineHealth(), 503),
        (replace(READY, state="busy", ready=False, progress_age_s=200.0), 503),
    ],
)
def test_the_status_tells_a_probe_whether_to_restart_the_app(health, status):
    response = get(health)
    assert response.status_code == status
    assert response.json()["reason"] == health.reason


def test_ready_waits_for_what_is_pulled_at_the_start():
    now = datetime.now(UTC)
    pulling = PullSnapshot("tale:3b", "pulling", now, "pulling 20d0", 340, 1000)
    startup = StartupSnapshot(pulls=(pulling,), target="tale:3b")
    response = get(READY, startup)
    assert response.status_code == 200
    body = response.json()
    assert (body["live"], body["ready"]) == (True, False)
    assert body["reason"].startswith("pulling tale:3b: 34%")
    assert body["pulls"] == [
        {
            "name": "tale:3b",
            "state": "pulling",
            "done_bytes": 340,
            "total_bytes": 1000,
            "error": "",
        }
    ]
    done = StartupSnapshot(pulls=(replace(pulling, state="done"),))
    assert get(READY, done).json()["ready"]


def test_a_failed_pull_is_told_with_its_reason():
    failed = PullSnapshot("tale:3b", "failed", datetime.now(UTC), error="no such model")
    body = get(READY, StartupSnapshot(pulls=(failed,))).json()
    assert not body["ready"]
    assert body["pulls"][0]["error"] == "no such model"
    assert body["reason"] == "cannot pull tale:3b: no such model"


def test_an_engine_that_is_not_ready_comes_first_in_the_reason():
    health = EngineHealth(state="restarting", live=True, reason="died")
    body = get(health, StartupSnapshot(is_decided=False)).json()
    assert body["reason"] == "died; asking Ollama what it has"


def test_health_takes_no_other_method():
    app = Starlette(routes=[health_route(lambda: READY)])
    assert TestClient(app).post("/health").status_code == 405


def test_every_response_forbids_the_browser_to_speak_to_other_hosts():
    headers = get(READY).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    for kind in ("default-src", "img-src", "connect-src", "font-src", "style-src"):
        assert not any(word.startswith(("http", "*")) for word in policy[kind].split())
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
