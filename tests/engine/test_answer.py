"""The buffer between the worker's reader and a reader of ours."""

import asyncio

import pytest

from utils.engine.answer import Answer
from utils.errors import EngineCrashedError, RequestError
from utils.events import Finished, Mode, Token, Tokens
from utils.performance_monitor import Baseline, PerformanceMonitor

LAST = Finished("stop", PerformanceMonitor().result())
THREE = Tokens(tuple(Token(n, "x", "plain", 0.0) for n in range(3)), (), Baseline())


class Ends:
    count = 0

    def __call__(self) -> None:
        self.count += 1


async def test_events_come_out_in_order_and_the_end_is_told_once():
    ends = Ends()
    answer = Answer(ends)
    for event in (THREE, Mode("standard", None, ""), LAST):
        assert await answer.put(event)
    answer.end()
    answer.fail(EngineCrashedError("late"))
    assert [await answer.get() for _ in range(3)] == [THREE, Mode("standard", None, ""), LAST]
    assert ends.count == 1
    assert answer.has_ended


async def test_an_error_comes_after_what_was_there_before_it():
    answer = Answer(Ends())
    await answer.put(THREE)
    answer.fail(EngineCrashedError("gone"))
    assert await answer.get() == THREE
    with pytest.raises(EngineCrashedError, match="gone"):
        await answer.get()


async def test_a_full_buffer_holds_the_writer_until_somebody_reads():
    answer = Answer(Ends(), backlog=4)
    assert await answer.put(THREE)
    writing = asyncio.create_task(answer.put(LAST))
    await asyncio.sleep(0)
    assert not writing.done()
    assert await answer.get() == THREE
    assert await writing
    assert await answer.get() == LAST


async def test_a_reader_that_never_reads_loses_the_answer():
    ends = Ends()
    answer = Answer(ends, backlog=4, patience_s=0.01)
    assert await answer.put(THREE)
    assert not await answer.put(THREE)
    assert ends.count == 1
    assert await answer.get() == THREE
    with pytest.raises(RequestError, match="nobody read it"):
        await answer.get()


async def test_a_writer_is_released_when_the_reader_leaves():
    answer = Answer(Ends(), backlog=4)
    await answer.put(THREE)
    writing = asyncio.create_task(answer.put(THREE))
    await asyncio.sleep(0)
    answer.end()
    async with asyncio.timeout(1):
        await writing


async def test_a_waiting_reader_is_woken_by_an_event():
    answer = Answer(Ends())
    reading = asyncio.create_task(answer.get())
    await asyncio.sleep(0)
    await answer.put(LAST)
    assert await reading == LAST
