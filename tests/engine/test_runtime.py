"""The engine for code that knows no event loop."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from config import ROOT, get_settings
from tests.engine.conftest import ask, greedy
from utils.engine import runtime
from utils.engine.runtime import LoopThread, close_engine, get_engine


def test_calls_run_on_the_loops_thread_and_bring_back_results_and_errors():
    thread = LoopThread("a-name")

    async def name() -> str:
        return threading.current_thread().name

    async def fail() -> None:
        raise ValueError("as it was")

    assert thread.call(name()).result(5) == "a-name"
    with pytest.raises(ValueError, match="as it was"):
        thread.call(fail()).result(5)
    thread.close()
    thread.close()


def test_closing_cancels_what_runs():
    thread = LoopThread()
    begun, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    future = thread.call(wait())
    assert begun.wait(5)
    thread.close()
    assert ended.wait(5)
    with pytest.raises(CancelledError):
        future.result(5)


def test_all_threads_get_the_same_engine_and_it_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPECCHAT_THREADS", "1")
    get_settings.cache_clear()
    try:
        with ThreadPoolExecutor(4) as pool:
            engines = list(pool.map(lambda _: get_engine(), range(8)))
        assert len(set(map(id, engines))) == 1
        engine = engines[0]

        async def answer() -> str:
            await engine.client.start()
            return (await ask(engine.client, "hello", greedy(4))).finished.reason

        assert engine.thread.call(answer()).result(30) in ("stop", "length")
    finally:
        close_engine()
        get_settings.cache_clear()
    assert runtime._runtime is None
    close_engine()


def test_a_program_that_just_ends_takes_its_worker_along():
    code = (
        "from utils.engine.runtime import get_engine\n"
        "engine = get_engine(); engine.thread.call(engine.client.start()).result(30)\n"
        "print(engine.client.health.pid)"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    assert done.stderr == b""
    alive = subprocess.run(("kill", "-0", done.stdout.strip()), capture_output=True, check=False)
    assert alive.returncode != 0


def test_a_question_can_be_asked_from_a_terminal():
    done = subprocess.run(
        (sys.executable, "-m", "utils.engine", "What is a draft model?"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "SPECCHAT_THREADS": "1"},
    )
    assert len(done.stdout) > 10
    assert done.stderr.startswith("[speculative embedded]\n")
    assert "tokens/s" in done.stderr
