"""The worker spoken to directly, over its pipes."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from config import ROOT, ModelOptions, SamplingParams, SpeculativeConfig
from tests.engine.conftest import LIMIT_S, PLAIN, long_prompt, user
from utils.engine.process import WORKER_COMMAND
from utils.engine.protocol import (
    MAX_LINE_BYTES,
    Cancel,
    Close,
    DraftChoice,
    Failed,
    FromWorker,
    Generate,
    GetStats,
    Happened,
    Heartbeat,
    Load,
    Loaded,
    Message,
    Progress,
    Ready,
    Stats,
    decode_reply,
    encode,
)
from utils.events import Finished, Prefilled, Started, Tokens

OPTIONS = ModelOptions(context_tokens=16_384, threads=1, batch_threads=1)


class RawWorker:
    """A worker process and its pipes."""

    def __init__(self, command: tuple[str, ...] = WORKER_COMMAND) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        self._limit = threading.Timer(LIMIT_S, self.process.kill)
        self._limit.start()

    def write(self, *lines: bytes | Message) -> None:
        assert self.process.stdin is not None
        data = [encode(line) if isinstance(line, Message) else line for line in lines]
        self.process.stdin.write(b"".join(data))
        self.process.stdin.flush()

    def messages(self, *, heartbeats: bool = False) -> Iterator[FromWorker]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = decode_reply(line)
            # Nobody asked for a heartbeat, nor for numbers without an id.
            is_asked = not isinstance(message, Heartbeat) and getattr(message, "id", "-")
            if heartbeats or is_asked or isinstance(message, Failed):
                yield message

    def next(self, kind: type) -> FromWorker:
        return next(message for message in self.messages() if isinstance(message, kind))

    def load(self, path: Path) -> None:
        self.write(Load(id="load", path=str(path), options=OPTIONS))
        assert isinstance(self.next(Loaded), Loaded)

    def close(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._limit.cancel()
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        return code


@pytest.fixture
def worker() -> Iterator[RawWorker]:
    raw = RawWorker()
    try:
        assert isinstance(raw.next(Ready), Ready)
        yield raw
    finally:
        raw.process.kill()
        raw.close()


def generate(request_id: str, max_tokens: int, messages=None) -> Generate:
    return Generate(
        id=request_id,
        messages=tuple(messages or user("hello")),
        sampling=SamplingParams(temperature=0, max_tokens=max_tokens),
        speculative=PLAIN,
        draft=DraftChoice(kind="none"),
    )


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"null\n",
        b'{"type":"load"}\n',
        b"\xff\xfe\n",
        b"{" * 10_000 + b"\n",
        b"x" * (MAX_LINE_BYTES + 9) + b"\n",
    ],
    ids=["blank", "null", "incomplete", "bytes", "deep", "huge"],
)
def test_a_malformed_line_is_answered_and_the_worker_lives(worker: RawWorker, line: bytes):
    worker.write(line, GetStats(id="s"))
    failed, stats = islice(worker.messages(), 2)
    assert isinstance(failed, Failed)
    assert (failed.id, failed.code) == ("", "protocol")
    assert isinstance(stats, Stats)


def test_what_is_asked_without_a_target_fails_with_a_reason(worker: RawWorker):
    worker.write(generate("a", 5))
    failed = worker.next(Failed)
    assert (failed.id, failed.code, failed.message) == (
        "a",
        "model",
        "no target is loaded: load one first",
    )


def test_an_id_in_use_is_refused_and_its_answer_goes_on(worker: RawWorker, folder: Path):
    worker.load(folder / "target.gguf")
    worker.write(generate("a", 50), generate("a", 50))
    assert "taken" in worker.next(Failed).message
    assert sum(isinstance(message, Happened) for message in worker_answer(worker, "a")) > 0


def worker_answer(worker: RawWorker, request_id: str) -> list[FromWorker]:
    """Read up to the end of an answer."""
    found = []
    for message in worker.messages():
        found.append(message)
        if isinstance(message, Happened) and isinstance(message.event, Finished):
            assert message.id == request_id
            return found
    raise AssertionError("the worker ended")


def test_loading_tells_its_stages(worker: RawWorker, folder: Path):
    worker.write(Load(id="l", path=str(folder / "target.gguf"), options=OPTIONS))
    stages = []
    for message in worker.messages():
        if isinstance(message, Loaded):
            break
        assert isinstance(message, Progress)
        stages.append((message.stage, message.share))
    assert stages[-1] == ("measuring plain speed", None)
    assert ("loading", 1.0) in stages


def test_fast_tokens_travel_in_few_messages_the_first_one_alone(worker: RawWorker, folder: Path):
    worker.load(folder / "target.gguf")
    worker.write(generate("a", 1500))
    answer = [message.event for message in worker_answer(worker, "a")]
    batches = [event for event in answer if isinstance(event, Tokens)]
    tokens = [token for event in batches for token in event.tokens]
    assert len(tokens) == sum(len(event.rounds) for event in batches) == 1500
    assert len(batches[0].rounds) == 1
    seconds = tokens[-1].time_s - tokens[0].time_s
    assert len(batches) <= 3 + seconds / 0.025


def test_a_cancel_in_the_middle_of_a_prompt_ends_it_at_once(worker: RawWorker, folder: Path):
    worker.load(folder / "target.gguf")
    worker.write(generate("a", 5, long_prompt(16_384)))
    for message in worker.messages():
        if isinstance(message, Happened) and isinstance(message.event, Prefilled):
            break
    worker.write(Cancel(id="a"), Cancel(id="unknown"), generate("b", 5))
    events = [message.event for message in worker_answer(worker, "a")]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "cancelled"
    assert events[-1].stats.completion_tokens == 0
    answer = worker_answer(worker, "b")
    assert answer[-1].event.reason == "length"


def test_what_waits_in_the_worker_can_be_cancelled(worker: RawWorker, folder: Path):
    worker.load(folder / "target.gguf")
    worker.write(generate("a", 200), generate("b", 4000), Cancel(id="b"))
    worker_answer(worker, "a")
    events = [message.event for message in worker_answer(worker, "b")]
    assert isinstance(events[0], Started)
    assert events[-1].stats.completion_tokens <= 1


def test_close_ends_a_busy_worker_cleanly(worker: RawWorker, folder: Path):
    worker.load(folder / "target.gguf")
    worker.write(generate("a", 8000), Close())
    assert worker_answer(worker, "a")[-1].event.reason == "cancelled"
    assert worker.process.wait(5) == 0


def test_the_end_of_stdin_ends_the_worker(worker: RawWorker, folder: Path):
    worker.load(folder / "target.gguf")
    worker.write(generate("a", 8000))
    assert worker.close() == 0


def test_prints_of_native_code_do_not_reach_the_protocol():
    code = (
        "import os\n"
        "from utils.engine import worker\n"
        "take = worker._take_stdout\n"
        "def take_and_print():\n"
        "    sink = take()\n"
        "    os.write(1, b'native noise\\n')\n"
        "    print('noise', flush=True)\n"
        "    return sink\n"
        "worker._take_stdout = take_and_print\n"
        "worker.main()"
    )
    raw = RawWorker((sys.executable, "-c", code))
    try:
        assert isinstance(next(raw.messages()), Ready)
    finally:
        assert raw.close() == 0


def test_heartbeats_come_by_themselves_and_an_idle_worker_is_not_blamed(worker: RawWorker):
    worker.write(generate("a", 5))
    worker.next(Failed)
    beats = (m for m in worker.messages(heartbeats=True) if isinstance(m, Heartbeat))
    assert [beat.progress_age_s for beat in islice(beats, 2)] == [0, 0]


def test_an_idle_worker_lets_the_draft_read_what_it_did_not_draft(worker: RawWorker, folder: Path):
    worker.load(folder / "target.gguf")
    # For so small a target drafting does not pay: most of the answer is left to be read.
    draft = DraftChoice(kind="model", name="draft", path=str(folder / "draft.gguf"))
    adaptive = {"speculative": SpeculativeConfig(), "draft": draft}
    worker.write(generate("answer", 400).model_copy(update=adaptive))
    judged = 0
    while judged < 300:
        worker.write(GetStats(id="stats"))
        stats = worker.next(Stats)
        assert isinstance(stats, Stats)
        judged = sum(figures.judged for figures in stats.drafts)


@contextmanager
def changed_worker(code: str) -> Iterator[RawWorker]:
    """Start a worker after this change to its code."""
    raw = RawWorker(
        (sys.executable, "-c", f"{code}\nfrom utils.engine import worker; worker.main()")
    )
    try:
        yield raw
    finally:
        raw.process.kill()
        raw.close()


def test_what_nobody_foresaw_fails_one_request_and_quotes_nothing(folder: Path):
    code = (
        "from utils.engine import history\n"
        "splice = history.TokenHistory.splice\n"
        "def fail(self, ids):\n"
        "    if len(ids) > 200:\n"
        "        raise ValueError('secret')\n"
        "    return splice(self, ids)\n"
        "history.TokenHistory.splice = fail"
    )
    with changed_worker(code) as raw:
        raw.load(folder / "target.gguf")
        raw.write(generate("a", 5, user("x" * 300)), generate("b", 5))
        failed = raw.next(Failed)
        assert (failed.id, failed.code) == ("a", "engine")
        assert failed.message == "internal error: ValueError; see the log of the engine"
        assert worker_answer(raw, "b")[-1].event.reason == "length"


def test_what_nobody_foresaw_between_two_answers_harms_neither(folder: Path):
    code = (
        "from utils.engine import engine\n"
        "async def fail(self, should_stop): raise ValueError('secret')\n"
        "engine.Engine.catch_up = fail"
    )
    with changed_worker(code) as raw:
        raw.load(folder / "target.gguf")
        for request_id in ("a", "b"):
            raw.write(generate(request_id, 5))
            assert worker_answer(raw, request_id)[-1].event.reason == "length"


def test_a_worker_whose_reader_breaks_ends_itself():
    code = (
        "from utils.engine import worker\nworker.decode_request = lambda line: 1 / 0\nworker.main()"
    )
    raw = RawWorker((sys.executable, "-c", code))
    raw.write(GetStats(id="s"))
    assert raw.process.wait(LIMIT_S) == 1
    raw.close()


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="PR_SET_PDEATHSIG and pidfd exist on Linux alone; elsewhere the end of stdin does it",
)
def test_the_worker_dies_with_its_parent():
    code = (
        "import os, signal, subprocess, sys; from utils.engine.process import WORKER_COMMAND as c\n"
        "w = subprocess.Popen(c, stdin=0, stdout=subprocess.PIPE)\n"
        "w.stdout.readline(); print(w.pid, flush=True); signal.pause()"
    )
    reader, writer = os.pipe()
    parent = subprocess.Popen(
        (sys.executable, "-c", code), cwd=ROOT, stdin=reader, stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        waiting = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
        assert select.select([waiting], [], [], 5)[0]
    for descriptor in (reader, writer, waiting):
        os.close(descriptor)
