"""What is written to the pipe: joined, in order, and never for ever."""

import os
import threading
from dataclasses import replace

from utils.engine.outbox import WAITING_MESSAGES, Outbox
from utils.engine.protocol import Failed, Happened, Heartbeat, Progress, decode_reply
from utils.events import Finished, Mode, Prefilled, Started, Token, Tokens
from utils.performance_monitor import Baseline, PerformanceMonitor

LAST = Finished("stop", PerformanceMonitor().result())


def tokens(number: int) -> Tokens:
    return Tokens((Token(number, "x", "plain", 0.0),), (), Baseline(float(number)))


def read_all(fd: int) -> list:
    with os.fdopen(fd, "rb") as source:
        messages = [decode_reply(line) for line in source]
    return [message for message in messages if not isinstance(message, Heartbeat)]


def test_neighbouring_tokens_are_joined_and_nothing_overtakes():
    reader, writer = os.pipe()
    outbox = Outbox(writer, lambda: 0.0)
    script = [
        Started(1, 0, 5, Baseline()),
        *(tokens(number) for number in range(100)),
        Mode("standard", None, "why"),
        *(tokens(number) for number in range(100, 200)),
        LAST,
    ]
    for event in script:
        outbox.happened("a", event)
    outbox.close(5)
    os.close(writer)
    events = [message.event for message in read_all(reader)]
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1], kinds.count("mode")) == ("started", "finished", 1)
    mode = kinds.index("mode")
    ids = [
        [token.token_id for event in part if isinstance(event, Tokens) for token in event.tokens]
        for part in (events[:mode], events[mode:])
    ]
    assert ids == [list(range(100)), list(range(100, 200))]
    assert len(events) < 30
    assert events[-2].baseline.tokens_per_second == 199


def test_tokens_of_two_answers_are_not_mixed():
    reader, writer = os.pipe()
    outbox = Outbox(writer, lambda: 0.0)
    for answer in "aab":
        outbox.happened(answer, tokens(1))
    outbox.close(5)
    os.close(writer)
    counts: dict[str, int] = {}
    for message in read_all(reader):
        counts[message.id] = counts.get(message.id, 0) + len(message.event.tokens)
    assert counts == {"a": 2, "b": 1}


def test_what_cannot_be_encoded_fails_its_request_alone():
    reader, writer = os.pipe()
    outbox = Outbox(writer, lambda: 0.0)
    outbox.happened("a", replace(Mode("standard", None, "x"), reason="\ud800"))
    outbox.send(Progress(id="b", stage="next"))
    outbox.close(5)
    os.close(writer)
    failed, progress = read_all(reader)
    assert isinstance(failed, Failed)
    assert (failed.id, failed.code, progress.id) == ("a", "protocol", "b")


def test_a_reader_that_does_not_read_slows_the_writer_down_without_losing_anything():
    reader, writer = os.pipe()
    outbox = Outbox(writer, lambda: 0.0)
    count = 4 * WAITING_MESSAGES
    done = threading.Event()

    def fill() -> None:
        for number in range(count):
            outbox.happened("a", Prefilled(number, count))
        done.set()

    threading.Thread(target=fill).start()
    assert not done.wait(0.2)
    found: list = []
    collector = threading.Thread(target=lambda: found.extend(read_all(reader)))
    collector.start()
    assert done.wait(20)
    outbox.close(5)
    os.close(writer)
    collector.join()
    assert [message.event.done for message in found] == list(range(count))


def test_when_the_reader_is_gone_writing_ends_instead_of_blocking():
    reader, writer = os.pipe()
    outbox = Outbox(writer, lambda: 0.0)
    os.close(reader)
    for number in range(2 * WAITING_MESSAGES):
        outbox.happened("a", Prefilled(number, 1))
    outbox.close(5)
    os.close(writer)


def test_a_heartbeat_tells_the_age_of_the_last_progress():
    reader, writer = os.pipe()
    outbox = Outbox(writer, lambda: 2.5)
    with os.fdopen(reader, "rb") as source:
        message = decode_reply(source.readline())
    outbox.close(5)
    os.close(writer)
    assert message == Heartbeat(progress_age_s=2.5)


def test_happened_keeps_the_order_of_ids():
    assert Happened(id="a", event=LAST).event == LAST
