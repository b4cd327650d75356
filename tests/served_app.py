"""The app as a person starts it: README's command, on a free port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config import ROOT

START_TIMEOUT_S = 120
COMMAND = (str(Path(sys.executable).parent / "streamlit"), "run", "app.py")


@dataclass(frozen=True)
class ServedApp:
    process: subprocess.Popen[str]
    url: str

    def health(self) -> tuple[int, dict]:
        """Return status and body of `GET /health`; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, {}

    def wait_until(self, is_so, timeout_s: float = START_TIMEOUT_S) -> dict:
        """Wait for a state of health and return it."""
        deadline = time.monotonic() + timeout_s
        while not is_so(*(answer := self.health())):
            assert self.process.poll() is None, "the app ended"
            assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {answer}"
            # Health is asked for over HTTP: the app in its own process has no event to wait on.
            time.sleep(0.1)
        return answer[1]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(**environment: str) -> tuple[subprocess.Popen[str], int]:
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--server.port", str(port)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process, port


@contextmanager
def served_app(**environment: str) -> Iterator[ServedApp]:
    """Start the app, wait until it can answer, and end it."""
    process, port = start(**environment)
    with process:
        try:
            app = ServedApp(process, f"http://127.0.0.1:{port}")
            app.wait_until(lambda status, health: status == 200 and health["ready"])
            yield app
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
