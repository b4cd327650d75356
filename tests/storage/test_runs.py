from __future__ import annotations

import errno
import logging
import subprocess
import sys

import pytest

from utils.storage.runs import FOLDER_NAME, Run

SCRIPT = (
    "import sys; from pathlib import Path; from utils.storage.runs import Run;"
    "run = Run(Path(sys.argv[1])); print(run.id, flush=True); sys.stdin.read()"
)


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path)
    yield run
    run.end()


@pytest.fixture
def other(tmp_path):
    """The run of another process, which ends when it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def files(folder):
    return {file.name for file in (folder / FOLDER_NAME).iterdir()}


def test_another_run_is_known_until_its_process_is_killed(run, other):
    process, run_id = other
    assert run.is_another(run_id)
    process.kill()
    process.wait()
    assert not run.is_another(run_id)


def test_a_run_is_no_other_than_itself(run):
    assert run.id
    assert not run.is_another(run.id)


def test_a_run_that_was_ended_goes_on_no_more(run, tmp_path):
    second = Run(tmp_path)
    assert run.is_another(second.id)
    second.end()
    second.end()
    assert not run.is_another(second.id)
    assert files(tmp_path) == {run.id}


@pytest.mark.parametrize("run_id", ["", "../specchat.db", "0" * 32, "A" * 32])
def test_what_is_no_id_of_a_run_is_none(run, run_id):
    assert not run.is_another(run_id)


def test_what_a_killed_run_left_behind_is_removed_by_the_next(run, other, tmp_path):
    process, run_id = other
    Run(tmp_path).end()
    assert files(tmp_path) == {run.id, run_id}
    process.kill()
    process.wait()
    Run(tmp_path).end()
    assert files(tmp_path) == {run.id}


def test_without_locks_no_run_is_known_and_nothing_fails(monkeypatch, tmp_path, caplog):
    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    with caplog.at_level(logging.WARNING):
        run = Run(tmp_path)
    assert run.id == ""
    assert not run.is_another("0" * 32)
    assert "cannot be told apart" in caplog.text
    assert files(tmp_path) == set()
    run.end()
