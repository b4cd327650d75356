"""What is said while start-up waits for models."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from utils.chat.wording import pull_line, size_share, startup_line
from utils.pulls import PullSnapshot
from utils.startup import StartupSnapshot

NOW = datetime.now(UTC)
MEANWHILE = "; answering with the embedded pair meanwhile"


def pull(state="pulling", *, name="llama3.2:3b", done=0, total=0, **rest):
    return PullSnapshot(name, state, NOW, done_bytes=done, total_bytes=total, **rest)


@pytest.mark.parametrize(
    ("startup", "line"),
    [
        (StartupSnapshot(), ""),
        (StartupSnapshot(pulls=(pull("done"), pull("cancelled"))), ""),
        (StartupSnapshot(is_decided=False), "asking Ollama what it has"),
        (
            StartupSnapshot(pulls=(pull(done=680_000_000, total=2_000_000_000),), target="llama"),
            "pulling llama3.2:3b: 34%, 0.7 of 2.0 GB" + MEANWHILE,
        ),
        (
            StartupSnapshot(pulls=(pull("waiting"), pull(name="b:1b", status="pulling manifest"))),
            "pulling b:1b: pulling manifest, and 1 more to come",
        ),
        (
            StartupSnapshot(pulls=(pull("failed", error="it is down", may_pass=True),)),
            "trying again to pull llama3.2:3b: it is down",
        ),
        (
            StartupSnapshot(pulls=(pull("failed", error="no such model"),), target="llama3.2:3b"),
            "cannot pull llama3.2:3b: no such model" + MEANWHILE,
        ),
        (
            StartupSnapshot(pulls=(pull("done"),), target="llama3.2:3b"),
            "loading llama3.2:3b" + MEANWHILE,
        ),
        (
            StartupSnapshot(pulls=(pull("done"),), target="llama3.2:3b", problem="too large"),
            "cannot load llama3.2:3b: too large" + MEANWHILE,
        ),
    ],
)
def test_the_line_says_what_is_awaited_and_who_answers_meanwhile(startup, line):
    assert startup_line(startup) == line


@pytest.mark.parametrize(
    ("snapshot", "line"),
    [
        (pull("waiting"), "waiting to pull llama3.2:3b"),
        (pull(), "pulling llama3.2:3b: asking for it"),
        (
            pull(done=5, total=5, status="verifying sha256 digest"),
            "pulling llama3.2:3b: verifying sha256 digest",
        ),
        (pull("done"), "pulled llama3.2:3b"),
        (pull("cancelled"), "stopped pulling llama3.2:3b"),
    ],
)
def test_a_pull_has_a_line_for_every_state(snapshot, line):
    assert pull_line(snapshot) == line


def test_sizes_share_the_unit_of_the_larger_one():
    assert size_share(1_200_000_000, 2_019_393_189) == "1.2 of 2.0 GB"
    assert size_share(3_000_000, 22_762_144) == "3 of 23 MB"
