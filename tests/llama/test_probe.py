"""Trying files in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from config import ROOT
from tests.tiny_gguf import write_tiny_gguf
from utils.llama.probe import ProbeVerdict, probe_model, try_model


@pytest.fixture
def child(monkeypatch):
    """Replace the program that the child runs."""
    real = subprocess.run

    def run(code: str) -> None:
        monkeypatch.setattr(
            subprocess,
            "run",
            lambda _command, **options: real([sys.executable, "-S", "-c", code], **options),
        )

    return run


def test_a_sound_model_is_usable(tiny_path):
    assert probe_model(tiny_path) == ProbeVerdict(usable=True)


def test_the_command_prints_one_line(tiny_path):
    command = [sys.executable, "-m", "utils.llama.probe", str(tiny_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert json.loads(result.stdout) == {"usable": True, "reason": ""}


def test_what_llama_cpp_refuses_is_reported_in_its_words(tmp_path):
    path = write_tiny_gguf(tmp_path / "x.gguf", metadata={"tokenizer.ggml.pre": "no-such-pre"})
    verdict = probe_model(path)
    assert not verdict.usable
    assert "no-such-pre" in verdict.reason


def test_invalid_numbers_are_noticed(tmp_path):
    verdict = try_model(write_tiny_gguf(tmp_path / "nan.gguf", nan=True))
    assert verdict == ProbeVerdict(
        usable=False, reason="model computes invalid numbers: 'nan.gguf'"
    )


def test_a_file_that_is_no_model_needs_no_child(tmp_path, child):
    child("raise SystemExit(9)")
    (tmp_path / "x.gguf").write_text("hello")
    assert "is no GGUF" in probe_model(tmp_path / "x.gguf").reason


@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGKILL"])
def test_a_child_that_dies_makes_a_model_unsafe(tiny_path, child, name):
    child(f"import os; os.kill(os.getpid(), {int(getattr(signal, name))})")
    verdict = probe_model(tiny_path)
    assert not verdict.usable
    assert f"llama.cpp dies of {name}" in verdict.reason


def test_a_child_that_hangs_is_ended(tiny_path, child):
    child("import signal; signal.pause()")
    verdict = probe_model(tiny_path, timeout_s=0.2)
    assert verdict.reason == "model did not load and answer within 0.2 s: 'tiny.gguf'"


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('hello')", "print('{}')"])
def test_a_child_that_says_nothing_sensible_is_reported(tiny_path, child, code):
    child(code)
    assert "could not be tried" in probe_model(tiny_path).reason


def test_a_verdict_is_kept_until_the_file_changes(tmp_path, child):
    path, folder = write_tiny_gguf(tmp_path / "x.gguf"), tmp_path / "verdicts"
    child("import os; os.abort()")
    first = probe_model(path, cache_folder=folder)
    assert "SIGABRT" in first.reason
    child("raise SystemExit(1)")
    assert probe_model(path, cache_folder=folder) == first
    os.utime(path, ns=(0, 0))
    assert "exit status 1" in probe_model(path, cache_folder=folder).reason
    assert len(list(folder.iterdir())) == 2


def test_a_timeout_is_not_kept(tiny_path, tmp_path, child):
    child("import signal; signal.pause()")
    probe_model(tiny_path, timeout_s=0.1, cache_folder=tmp_path / "verdicts")
    assert not (tmp_path / "verdicts").exists()


def test_a_broken_or_forbidden_cache_is_no_failure(tiny_path, tmp_path, child):
    child('print(\'{"usable": true, "reason": ""}\')')
    (tmp_path / "file").write_text("")
    assert probe_model(tiny_path, cache_folder=tmp_path / "file").usable
    folder = tmp_path / "verdicts"
    probe_model(tiny_path, cache_folder=folder)
    for entry in folder.iterdir():
        entry.write_text("not json")
    assert probe_model(tiny_path, cache_folder=folder).usable


def test_limits_are_set_in_the_child(tiny_path):
    code = (
        "import resource; from utils.llama import probe;"
        "probe.main(['--address-space-bytes=34359738368', PATH]);"
        "print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_AS))"
    ).replace("PATH", repr(str(tiny_path)))
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    assert "(0, 0)" in result.stdout.splitlines()[-1]
    if sys.platform == "linux" and "CUDA" not in result.stdout:
        assert "(34359738368, 34359738368)" in result.stdout.splitlines()[-1]


def test_a_missing_file_is_no_model(tmp_path):
    assert "cannot be opened" in probe_model(tmp_path / "no", cache_folder=tmp_path).reason
