from __future__ import annotations

import os
import signal
import time

import pytest

from tests.served_app import ServedApp, served_app, start
from utils.storage.database import FILE_NAME, Database

pytestmark = pytest.mark.usefixtures("unmeasured_children")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SPECCHAT_CONTEXT_TOKENS", "12", "from 64 to 1048576"),
        ("SPECCHAT_SPECULATIVE__MAX_DRAFT_TOKENS", "99", "from 1 to 16"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_sentence(name, value, words):
    process, _ = start(**{name: value})
    output, _ = process.communicate(timeout=60)

    sentence = output.splitlines()[-1]
    assert name in sentence
    assert value in sentence
    assert words in sentence
    assert "Traceback" not in output
    assert process.returncode == 2


def test_the_app_serves_pages_and_health_and_ends_cleanly():
    process, port = start()
    app = ServedApp(process, f"http://127.0.0.1:{port}")
    with process:
        health = app.wait_until(lambda status, health: status == 200 and health["ready"])
        worker = health["worker"]["pid"]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)

    assert process.returncode in (0, -signal.SIGTERM)
    assert time.monotonic() - began < 10
    assert "Traceback" not in output
    assert health["model"] == "embedded"
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_health_is_there_before_the_model_and_survives_its_worker():
    process, port = start()
    app = ServedApp(process, f"http://127.0.0.1:{port}")
    with process:
        first = app.wait_until(lambda status, _: status != 0)
        assert not first["ready"]
        before = app.wait_until(lambda _, health: health.get("ready", False))
        os.kill(before["worker"]["pid"], signal.SIGKILL)
        after = app.wait_until(
            lambda _, health: health["worker"]["restarts"] == 1 and health["ready"]
        )
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert after["worker"]["pid"] != before["worker"]["pid"]


def test_the_settings_of_the_experiment_are_taken_over_at_the_start(tmp_path):
    with served_app(SPECCHAT_DATA_FOLDER=str(tmp_path), SPECCHAT_ROLLOUT__STOPPED="true"):
        database = Database(tmp_path / FILE_NAME)
        (kept,) = database.read("SELECT is_stopped FROM experiments")
        database.close()
    assert kept["is_stopped"]


def test_a_stalled_engine_makes_health_fail():
    with served_app(SPECCHAT_STALL_TIMEOUT_S="1") as app:
        pid = app.health()[1]["worker"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        failed = app.wait_until(
            lambda status, health: status == 503 or health["worker"]["restarts"] > 0, 15
        )
        assert failed["worker"]["pid"] != pid or not failed["ready"]
