import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.engine.notice import Notice
from utils.engine.scheduler import FairQueue, Turn
from utils.errors import QueueFullError


def make_queue(limit: int = 100) -> FairQueue:
    return FairQueue(limit, Notice())


def serve(queue: FairQueue) -> Turn:
    assert queue.holder is not None
    served = queue.holder
    served.leave()
    return served


async def test_the_first_one_does_not_wait():
    turn = make_queue().enter("a")
    assert turn.is_held
    assert [position async for position in turn.positions()] == []


async def test_owners_take_turns_however_many_requests_one_of_them_has():
    queue = make_queue()
    for owner in "aaaabb":
        queue.enter(owner)
    queue.enter("c")
    assert [serve(queue).owner for _ in range(7)] == list("abcabaa")


async def test_positions_tell_how_many_turns_are_left_and_end_when_it_is_ours():
    queue = make_queue()
    first, second, third = (queue.enter(owner) for owner in "abb")
    seen: list[int] = []

    async def watch() -> None:
        seen.extend([position async for position in third.positions()])

    task = asyncio.create_task(watch())
    for turn in (first, second):
        await asyncio.sleep(0)
        turn.leave()
    await task
    assert seen == [2, 1]
    assert third.is_held


async def test_leaving_while_queued_moves_the_others_up():
    queue = make_queue()
    queue.enter("a")
    leaver, follower = queue.enter("b"), queue.enter("c")
    leaver.leave()
    leaver.leave()
    assert (follower.position, leaver.position, len(queue)) == (1, 0, 1)
    assert not leaver.is_held


async def test_a_full_queue_refuses_and_takes_again_once_there_is_room():
    queue = make_queue(limit=2)
    holder, *_ = (queue.enter("a") for _ in range(3))
    with pytest.raises(QueueFullError, match="2 of 2"):
        queue.enter("b")
    holder.leave()
    assert queue.enter("b").position > 0


@given(st.lists(st.one_of(st.sampled_from("abcd"), st.none()), max_size=60))
def test_while_one_owner_waits_no_other_is_served_twice(steps: list[str | None]):
    queue = make_queue()
    lines: dict[str, list[Turn]] = {owner: [] for owner in "abcd"}
    passed = {owner: Counter[str]() for owner in "abcd"}
    for owner in steps:
        if owner is not None:
            lines[owner].append(queue.enter(owner))
        elif queue.holder is not None:
            served = serve(queue)
            assert lines[served.owner].pop(0) is served, "within an owner, in order"
            passed[served.owner].clear()
            for other, line in lines.items():
                if line and other != served.owner:
                    passed[other][served.owner] += 1
        assert all(count <= 1 for counts in passed.values() for count in counts.values())


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=20))
def test_positions_foretell_the_order_in_which_turns_come(owners: list[str]):
    queue = make_queue()
    turns = [queue.enter(owner) for owner in owners]
    foretold = sorted(turns, key=lambda turn: turn.position)
    assert [turn.position for turn in foretold] == list(range(len(turns)))
    assert [serve(queue) for _ in turns] == foretold
