"""Pulls as background jobs, at a server that holds them, breaks them and goes down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config import Settings
from tests.ollama_registry import Registry, until
from tests.ollama_server import OllamaServer
from utils import pulls
from utils.backends import ollama
from utils.backends.ollama import OllamaClient
from utils.backends.ollama_errors import answer_error, may_pass
from utils.backends.ollama_records import PullProgress
from utils.errors import QueueFullError, RequestError, UnknownModelError
from utils.pulls import MAX_STATUS_CHARS, PullBoard, PullSnapshot, Speed

LIMIT_S = 20.0
DATA = bytes(range(256)) * 4096


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama, "CONNECT_TIMEOUT_S", 60)


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    async with OllamaServer() as running:
        yield running


@pytest.fixture
def registry(server: OllamaServer, tmp_path: Path) -> Registry:
    registry = Registry(server, tmp_path / "store")
    for name in ("tale", "poem", "song"):
        registry.add(name, DATA)
    return registry


@pytest.fixture
async def client(server: OllamaServer) -> AsyncIterator[OllamaClient]:
    client = OllamaClient(Settings(ollama_url=server.url))
    yield client
    await client.close()


@pytest.fixture
async def board(client: OllamaClient) -> AsyncIterator[PullBoard]:
    board = PullBoard(client)
    yield board
    await board.close()


async def end_of(job) -> PullSnapshot:
    async with asyncio.timeout(LIMIT_S):
        return await job.finished()


async def halfway(registry: Registry) -> None:
    async with asyncio.timeout(LIMIT_S):
        await registry.is_halfway.wait()


async def test_a_pull_tells_how_far_it_is_and_that_it_is_done(registry, board):
    registry.hold()
    job = board.start("tale")
    await halfway(registry)
    await until(lambda: job.snapshot().done_bytes == len(DATA) // 2)
    midway = job.snapshot()
    assert (midway.state, midway.total_bytes, midway.share) == ("pulling", len(DATA), 0.5)
    assert midway.status.startswith("pulling ")
    assert midway.is_active
    assert board.version == 0
    assert not await asyncio.to_thread(job.wait, 0.01)

    registry.may_go_on.set()
    assert await asyncio.to_thread(job.wait, LIMIT_S)
    done = job.snapshot()
    assert (done.state, done.status, done.share) == ("done", "success", 1.0)
    assert not done.is_active
    assert board.version == 1
    assert board.jobs() == (done,)


async def test_all_tabs_that_pull_a_model_share_one_job(registry, server, board):
    registry.hold()
    names = ["tale", "tale:latest", "registry.ollama.ai/library/tale", "Tale"] * 4
    jobs = await asyncio.gather(*(asyncio.to_thread(board.start, name) for name in names))
    assert len(set(map(id, jobs))) == 1
    registry.may_go_on.set()
    await end_of(jobs[0])
    assert len(server.asked_of("pull")) == 1


async def test_cancelling_hangs_up_on_the_server(registry, server, board):
    registry.hold()
    job = board.start("tale")
    await halfway(registry)
    await asyncio.to_thread(job.cancel)
    assert (await end_of(job)).state == "cancelled"
    await asyncio.wait_for(server.hung_up.wait(), LIMIT_S)
    assert job.snapshot().error == ""
    assert board.version == 1
    job.cancel()


async def test_a_pull_after_a_cancelled_one_goes_on_where_that_stopped(
    registry, board, monkeypatch
):
    monkeypatch.setattr(pulls, "STEP_S", 0.0)
    registry.hold()
    first = board.start("tale")
    await halfway(registry)
    first.cancel()
    await end_of(first)
    registry.is_halfway.clear()
    second = board.start("tale")
    assert second is not first
    await halfway(registry)
    assert registry.arrived["tale:latest"] == 4
    await until(lambda: second.snapshot().share == 0.5)
    assert second.snapshot().bytes_per_s == 0, "what was there has not arrived just now"
    registry.may_go_on.set()
    assert (await end_of(second)).state == "done"
    assert [pull.state for pull in board.jobs()] == ["done"]


async def test_two_run_at_once_and_the_third_waits(registry, server, board):
    registry.hold()
    jobs = [board.start(name) for name in ("tale", "poem", "song")]
    await until(lambda: len(server.asked_of("pull")) == 2)
    await until(lambda: jobs[1].snapshot().share == 0.5)
    assert [job.snapshot().state for job in jobs] == ["pulling", "pulling", "waiting"]
    assert [pull.name for pull in board.jobs()] == ["song:latest", "poem:latest", "tale:latest"]
    jobs[0].cancel()
    await until(lambda: jobs[2].snapshot().state == "pulling")
    registry.may_go_on.set()
    assert (await end_of(jobs[2])).state == "done"


async def test_a_waiting_pull_is_cancelled_before_the_server_hears_of_it(registry, server, board):
    registry.hold()
    jobs = [board.start(name) for name in ("tale", "poem", "song")]
    jobs[2].cancel()
    assert (await end_of(jobs[2])).state == "cancelled"
    registry.may_go_on.set()
    await end_of(jobs[0])
    await end_of(jobs[1])
    assert {body["model"] for body in server.asked_of("pull")} == {"tale:latest", "poem:latest"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("disk full", "make room on Ollama's disk"),
        ("digest mismatch", "pull the model again"),
        ("cut off", "connection to Ollama broke"),
        ("status 500", "its log says more"),
        ("no end", "stopped the download"),
        ("bad json", "not understood"),
    ],
)
async def test_a_failed_pull_says_why_and_works_again(server, board, fault, words):
    server.faults_once["pull"] = fault
    failed = await end_of(board.start("demo"))
    assert failed.state == "failed"
    assert words in failed.error
    assert failed.may_pass
    assert (await end_of(board.start("demo"))).state == "done"
    assert board.version == 2


async def test_a_server_that_is_down_may_come_up_again(server, board):
    await server.stop()
    failed = await end_of(board.start("demo"))
    assert "not running at http" in failed.error
    assert failed.may_pass


async def test_a_model_that_does_not_exist_fails_for_good(registry, board):
    failed = await end_of(board.start("nobody/knows-it"))
    assert failed.state == "failed"
    assert "there is no such model to pull: check its name" in failed.error
    assert not failed.may_pass


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        ("pull model manifest: file does not exist", False),
        ('pull model manifest: 404: {"error":"Repository not found"}', False),
        ('pull model manifest: 401: {"error":"Invalid username or password."}', False),
        ("pull model manifest: 412: requires a newer version of Ollama", False),
        ("invalid model name", False),
        ("pull model manifest: 429: too many requests", True),
        ("pull model manifest: 503: unavailable", True),
        ('pull model manifest: Get "https://host/v2/": dial tcp: lookup host: no such host', True),
        ("max retries exceeded: unexpected EOF", True),
    ],
)
def test_what_may_pass_by_itself_is_told_apart(words, passes):
    assert may_pass(answer_error(words, -1)) is passes


async def test_an_error_of_our_own_is_logged_and_told_without_details(board, client, caplog):
    async def pull(_name):
        yield PullProgress("", 0, 0)
        raise ZeroDivisionError("secret")

    client.pull = pull
    failed = await end_of(board.start("demo"))
    assert failed.error.startswith("the app failed while pulling")
    assert not failed.may_pass
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("name", ["", "../x", "a b", "http://host/model", "a\nb", "x" * 500])
async def test_what_is_no_name_is_refused_before_anybody_is_asked(server, board, name):
    with pytest.raises(UnknownModelError):
        board.start(name)
    assert server.asked == []
    assert board.jobs() == ()


async def test_a_name_of_hugging_face_is_asked_for_as_it_is(registry, server, board):
    registry.add("hf.co/me/Tale-GGUF:Q4_K_M")
    assert (await end_of(board.start("hf.co/me/Tale-GGUF:Q4_K_M"))).state == "done"
    assert server.asked_of("pull")[0]["model"] == "hf.co/me/Tale-GGUF:Q4_K_M"


async def test_the_board_forgets_old_ends_and_refuses_too_many(registry, client):
    registry.hold()
    board = PullBoard(client, limit=2)
    first = board.start("tale")
    first.cancel()
    await end_of(first)
    board.start("poem")
    board.start("song")
    assert [pull.name for pull in board.jobs()] == ["song:latest", "poem:latest"]
    assert board.find("tale") is None
    with pytest.raises(QueueFullError, match="2 models are being pulled"):
        board.start("tale")
    await board.close()


async def test_closing_cancels_all_and_takes_no_more(registry, server, client):
    registry.hold()
    board = PullBoard(client)
    for name in ("tale", "poem", "song"):
        board.start(name)
    await asyncio.wait_for(board.close(), LIMIT_S)
    assert {pull.state for pull in board.jobs()} == {"cancelled"}
    with pytest.raises(RequestError, match="ending"):
        board.start("tale")


async def test_words_of_the_server_are_cut(server, board):
    server.lines["pull"] = ['{"status":"%s"}' % ("x" * 5000), '{"error":"over"}']
    assert len((await end_of(board.start("demo"))).status) == MAX_STATUS_CHARS


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_speed_is_that_of_the_last_seconds():
    clock = Clock()
    speed = Speed(clock)
    assert speed.bytes_per_s == 0
    for second in range(60):
        clock.now_s += 1
        speed.note(1000 if second < 40 else 100)
    assert speed.bytes_per_s == pytest.approx(100)
    clock.now_s += 300
    assert speed.bytes_per_s == pytest.approx(0, abs=1)


def test_the_time_left_follows_from_speed_and_size():
    now = datetime.now(UTC)
    pull = PullSnapshot("tale:latest", "pulling", now, "", 250, 1000, bytes_per_s=50)
    assert pull.remaining_s == 15
    assert PullSnapshot("tale:latest", "pulling", now).remaining_s is None
    assert PullSnapshot("tale:latest", "pulling", now, "", 12, 10).share == 1
