"""Fallback: whatever fails, and whenever, the answer is complete while anything can answer."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import aclosing
from dataclasses import replace

import pytest

from config import SamplingParams, SpeculativeConfig
from tests.engine.conftest import Heard, greedy, user
from utils.backends.fallback import FallbackBackend
from utils.backends.local import LocalBackend
from utils.backends.ollama_backend import OllamaBackend
from utils.backends.protocol import Availability, Written
from utils.engine.client import EngineClient
from utils.errors import (
    BackendError,
    ContextFullError,
    EngineCrashedError,
    EngineError,
    EngineStalledError,
    ModelLoadError,
    RequestError,
    TargetError,
    UnknownModelError,
)
from utils.events import Finished, Mode, Prefilled, Queued, Started, Token, Tokens
from utils.performance_monitor import Baseline, PerformanceMonitor, RoundStats

SPECULATIVE = SpeculativeConfig(draft_model="draft", draft_length="fixed", acceptance_threshold=0)
ANSWER = ("It", " was", " a", " dark", " night", ".")
# Enough for a fast worker to be killed amid them. From some 2400 on, one pass over several tokens
# and a pass for each of them differ in the last bit now and then, so that texts may part.
LONG = 2000
BASELINE = Baseline(100.0, "calibration", 8)
STAGES = ("at once", "queued", "started", "prefill", "mode", "first token", "later", "last token")
FAILURES = {
    "killed": EngineCrashedError("the engine was killed by SIGKILL"),
    "timeout": EngineStalledError("the engine made no progress for 120 s"),
    "invalid numbers": TargetError("target computed invalid numbers"),
    "no memory": ModelLoadError("model does not fit in memory"),
}


class Scripted:
    """A backend that answers `ANSWER`, and fails with `error` at a stage."""

    def __init__(self, name="first", error=None, stage=""):
        self.name = name
        self.error = error
        self.stage = stage
        self.asked = []

    async def available(self):
        return Availability(self.error is None, str(self.error or ""))

    async def generate(self, messages, *, sampling, speculative, owner="", written=None):
        self.asked.append((sampling, written.text))
        monitor = PerformanceMonitor(baseline=BASELINE)
        self._stage("at once")
        yield Queued(1)
        self._stage("queued")
        yield Started(prompt_tokens=10, reused_tokens=2, seed=77, baseline=BASELINE)
        self._stage("started")
        yield Prefilled(5, 10)
        self._stage("prefill")
        yield Mode("speculative", "draft", f"{self.name} drafts")
        self._stage("mode")
        skip = written.text
        for index, text in enumerate(ANSWER):
            if skip:
                assert skip.startswith(text)
                skip = skip.removeprefix(text)
                continue
            round_ = RoundStats("draft", 1, 0, 1, 0.01, 0.02, 0.03, 1)
            monitor.extend([round_])
            yield Tokens((Token(index, text, "plain", 0.1 * index),), (round_,), BASELINE)
            self._stage({0: "first token", 2: "later", 5: "last token"}.get(index, ""))
        yield Finished("stop", monitor.result())

    def _stage(self, stage):
        if stage and stage == self.stage:
            raise self.error


async def hear(backend, speculative=SPECULATIVE, sampling=None, heard=None):
    heard = heard or Heard()
    events = backend.generate(
        user("Tell me a story."), sampling=sampling or greedy(24), speculative=speculative
    )
    async with asyncio.timeout(30), aclosing(events):
        async for event in events:
            heard.events.append(event)
    return heard


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("stage", STAGES)
async def test_an_engine_that_fails_leaves_a_complete_answer(stage, failure):
    first = Scripted("the engine", FAILURES[failure], stage)
    second = Scripted("the other")
    heard = await hear(FallbackBackend([first, second]))
    assert heard.text == "".join(ANSWER)
    assert str(FAILURES[failure]) in heard.mode.reason
    assert heard.finished.stats.completion_tokens == len(ANSWER)
    assert heard.finished.stats.rounds == len(ANSWER)
    assert len(heard.all(Finished)) == 1
    assert [token.time_s for token in heard.tokens] == sorted(t.time_s for t in heard.tokens)


@pytest.mark.parametrize("first", STAGES)
@pytest.mark.parametrize("second", STAGES)
async def test_two_that_fail_leave_a_complete_answer_too(first, second):
    error = EngineError("out of order")
    third = Scripted("third")
    chain = [Scripted("first", error, first), Scripted("second", error, second), third]
    heard = await hear(FallbackBackend(chain))
    assert heard.text == "".join(ANSWER)
    assert heard.finished.stats.completion_tokens == len(ANSWER)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("failure", FAILURES)
async def test_ollama_completes_what_the_engine_began(server, client, stage, failure):
    first = Scripted("the engine", FAILURES[failure], stage)
    heard = await hear(FallbackBackend([first, OllamaBackend(client, "demo")]))
    began = "".join(t.text for t in heard.tokens if t.token_id >= 0)
    assert heard.text.startswith(began)
    assert len(heard.text) > len(began) + 20
    assert heard.finished.reason == "length"
    assert (heard.mode.mode, heard.mode.drafter) == ("standard", None)
    assert "Ollama (demo)" in heard.mode.reason
    if began:
        (body,) = server.asked_of("generate")
        assert body["prompt"].endswith(f"assistant\n{began}")
        assert body["options"]["seed"] == 77
    else:
        assert len(server.asked_of("chat")) == 1


@pytest.mark.parametrize("route", ["render", "generate"])
@pytest.mark.parametrize("fault", ["status 404", "status 500", "no answer", "cut off", "bad json"])
async def test_where_ollama_fails_too_both_reasons_are_told(server, client, fault, route):
    server.faults[route] = fault
    first = Scripted("the engine", FAILURES["killed"], "later")
    heard = Heard()
    with pytest.raises(BackendError, match=r"SIGKILL; Ollama \(demo\): "):
        await hear(FallbackBackend([first, OllamaBackend(client, "demo")]), heard=heard)
    assert heard.text.startswith("It was a")
    server.faults.clear()
    first.stage = ""
    assert (await hear(FallbackBackend([first]))).text == "".join(ANSWER)


async def test_an_answer_without_failures_is_told_as_it_is():
    events = (await hear(FallbackBackend([Scripted(), Scripted()]))).events
    alone = [
        event
        async for event in Scripted().generate(
            [], sampling=greedy(), speculative=SPECULATIVE, written=Written()
        )
    ]
    assert events == alone


@pytest.mark.parametrize("stage", ["first token", "later"])
async def test_who_goes_on_and_why_is_told_where_it_happens(stage):
    chain = [Scripted("the engine", EngineError("it broke"), stage), Scripted("the other")]
    events = (await hear(FallbackBackend(chain))).events
    told = [event.handover for event in events if isinstance(event, Mode)]
    assert told == ["", "the engine failed: it broke; the other went on from here"]


async def test_whoever_wrote_nothing_is_told_of_with_the_next():
    chain = [
        Scripted("one", EngineError("it broke"), "later"),
        Scripted("two", EngineError("it is out"), "started"),
        Scripted("three"),
    ]
    heard = await hear(FallbackBackend(chain))
    why = "one failed: it broke; two failed: it is out; three went on from here"
    assert heard.mode.handover == why


async def test_a_change_of_mode_that_is_no_handover_is_not_told_as_one():
    class Pausing(Scripted):
        async def generate(self, *args, **options):
            async for event in super().generate(*args, **options):
                yield event
                if isinstance(event, Tokens):
                    yield Mode("standard", None, "drafting pauses")

    chain = [Scripted("one", EngineError("it broke"), "later"), Pausing("two")]
    heard = await hear(FallbackBackend(chain))
    told = [event.handover for event in heard.all(Mode) if event.handover]
    assert told == ["one failed: it broke; two went on from here"]


async def test_an_answer_that_ollama_wrote_a_part_of_claims_no_speedup(client):
    chain = [Scripted("the engine", FAILURES["killed"], "later"), OllamaBackend(client, "demo")]
    heard = await hear(FallbackBackend(chain))
    stats = heard.finished.stats
    assert (stats.baseline, stats.speedup) == (Baseline(), 0)
    assert heard.finished.reported.answer_tokens < stats.completion_tokens
    assert heard.all(Tokens)[0].baseline == BASELINE
    assert heard.all(Tokens)[-1].baseline == Baseline()


async def test_nor_does_one_that_the_engine_completes_after_ollama(client, server):
    server.faults["chat"] = "cut off"

    class Completing(Scripted):
        async def generate(self, *_, written, **__):
            round_ = RoundStats("draft", 1, 0, 1, 0.01, 0.02, 0.03, 1)
            yield Started(prompt_tokens=10, reused_tokens=2, seed=77, baseline=BASELINE)
            yield Tokens((Token(1, "!", "plain", 0.1),), (round_,), BASELINE)
            monitor = PerformanceMonitor(baseline=BASELINE)
            monitor.extend([round_])
            yield Finished("stop", monitor.result())

    heard = await hear(FallbackBackend([OllamaBackend(client, "demo"), Completing()]))
    assert heard.text.endswith("!")
    assert heard.finished.stats.baseline == Baseline()
    assert heard.all(Tokens)[-1].baseline == Baseline()


async def test_where_the_engine_wrote_all_of_it_a_speedup_is_claimed():
    chain = [Scripted("one", EngineError("it broke"), "later"), Scripted("two")]
    assert (await hear(FallbackBackend(chain))).finished.stats.baseline == BASELINE


async def test_the_mark_of_a_thought_in_the_prompt_is_handed_on():
    class Thinking(Scripted):
        async def generate(self, *args, **options):
            async for event in super().generate(*args, **options):
                is_start = isinstance(event, Started)
                yield replace(event, opened="<think>\n") if is_start else event

    class Noting(Scripted):
        async def generate(self, *args, written, **options):
            self.opened = written.opened
            async for event in super().generate(*args, written=written, **options):
                yield event

    chain = [Thinking("one", EngineError("it broke"), "later"), Noting("two")]
    await hear(FallbackBackend(chain))
    assert chain[1].opened == "<think>\n"


async def test_what_is_gone_on_with_begins_no_second_answer():
    chain = [Scripted("first", EngineError("broken"), "later"), Scripted("second")]
    heard = await hear(FallbackBackend(chain))
    assert (len(heard.all(Queued)), len(heard.all(Started)), len(heard.all(Prefilled))) == (1, 1, 1)
    assert heard.finished.stats.prompt_tokens == 10
    assert chain[1].asked == [(greedy(24).model_copy(update={"seed": 77}), "It was a")]


async def test_an_answer_that_ends_without_an_end_is_completed():
    class Ends(Scripted):
        async def generate(self, *_, **__):
            yield Started(prompt_tokens=1, reused_tokens=0, seed=1, baseline=BASELINE)

    heard = await hear(FallbackBackend([Ends(), Scripted()]))
    assert heard.text == "".join(ANSWER)
    assert "without an end" in heard.mode.reason


async def test_one_that_does_not_tell_its_mode_is_told_of_all_the_same():
    class Silent(Scripted):
        async def generate(self, *args, **options):
            async for event in super().generate(*args, **options):
                if not isinstance(event, Mode):
                    yield event

    chain = [Scripted("first", EngineError("it broke"), "later"), Silent()]
    heard = await hear(FallbackBackend(chain))
    assert (heard.mode.mode, heard.mode.reason) == ("standard", "first failed: it broke")


async def test_where_all_fail_all_reasons_are_told():
    chain = [Scripted("one", EngineError("it broke")), Scripted("two", BackendError("it is down"))]
    for backend in chain:
        backend.stage = "started"
    with pytest.raises(BackendError, match="one: it broke; two: it is down"):
        await hear(FallbackBackend(chain))
    state = await FallbackBackend(chain).available()
    assert (state.is_available, state.reason) == (False, "one: it broke; two: it is down")
    assert (await FallbackBackend([*chain, Scripted("three")]).available()).is_available
    assert FallbackBackend(chain).name == "one, else two"


async def test_a_reason_that_all_give_is_said_once():
    chain = [Scripted(name, EngineError("it broke")) for name in ("one", "two")]
    for backend in chain:
        backend.stage = "started"
    with pytest.raises(BackendError, match=r"^it broke$"):
        await hear(FallbackBackend(chain))


async def test_what_nobody_can_answer_is_not_passed_on():
    other = Scripted()
    chain = [Scripted("first", ContextFullError("too long"), "started"), other]
    with pytest.raises(ContextFullError):
        await hear(FallbackBackend(chain))
    assert not other.asked


async def test_a_model_that_only_another_backend_has_is_asked_there():
    chain = [Scripted("first", UnknownModelError("no such file"), "at once"), Scripted()]
    assert (await hear(FallbackBackend(chain))).text == "".join(ANSWER)


async def test_with_fallback_switched_off_the_first_error_is_the_answer():
    other = Scripted()
    chain = [Scripted("first", EngineError("broken"), "later"), other]
    with pytest.raises(EngineError, match=r"^broken$"):
        await hear(
            FallbackBackend(chain), SPECULATIVE.model_copy(update={"fallback_enabled": False})
        )
    assert not other.asked


async def test_an_answer_that_is_left_is_left_everywhere():
    class Closing(Scripted):
        is_closed = False

        async def generate(self, *args, **options):
            try:
                async for event in super().generate(*args, **options):
                    yield event
            finally:
                self.is_closed = True

    backend = Closing()
    events = FallbackBackend([backend]).generate(
        user("x"), sampling=greedy(), speculative=SPECULATIVE
    )
    await anext(events)
    await events.aclose()
    assert backend.is_closed


@pytest.fixture
async def engine(settings):
    client = EngineClient(settings)
    await client.start()
    await client.load()
    yield client
    await client.close()


async def kill_amid(engine: EngineClient, backend, sampling, number=signal.SIGKILL):
    """Kill the worker at the first tokens heard, and return all that was heard in the end."""
    heard = Heard()
    events = backend.generate(user("Tell me a story."), sampling=sampling, speculative=SPECULATIVE)
    async with asyncio.timeout(60), aclosing(events):
        async for event in events:
            if isinstance(event, Tokens) and not heard.tokens:
                os.kill(engine.health.pid, number)
            heard.events.append(event)
    return heard


@pytest.mark.parametrize("temperature", [0, 0.8])
async def test_a_killed_engine_writes_on_as_if_nothing_had_happened(engine, temperature):
    sampling = SamplingParams(temperature=temperature, max_tokens=LONG, seed=3)
    alone = await hear(LocalBackend(engine), sampling=sampling)
    chain = [LocalBackend(engine), LocalBackend(engine, drafts=False)]
    heard = await kill_amid(engine, FallbackBackend(chain), sampling)
    assert heard.text == alone.text
    assert heard.mode.mode == "standard"
    assert "killed by SIGKILL" in heard.mode.reason
    assert heard.finished.stats.completion_tokens == alone.finished.stats.completion_tokens == LONG


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_ollama_completes_the_answer_of_a_killed_engine(engine, server, client, number):
    chain = [LocalBackend(engine), OllamaBackend(client, "demo")]
    sampling = SamplingParams(temperature=0, max_tokens=LONG)
    heard = await kill_amid(engine, FallbackBackend(chain), sampling, number)
    (body,) = server.asked_of("generate")
    written = body["prompt"].partition("assistant\n")[2]
    assert written
    assert heard.text.startswith(f"{written} lived a fisher")
    count = len([token for token in heard.tokens if token.token_id >= 0])
    assert body["options"]["num_predict"] == LONG - count


async def test_ollama_completes_the_answer_of_an_engine_that_hangs(settings, client):
    engine = EngineClient(settings.model_copy(update={"stall_timeout_s": 1.0}))
    await engine.start()
    await engine.load()
    chain = [LocalBackend(engine), OllamaBackend(client, "demo")]
    sampling = SamplingParams(temperature=0, max_tokens=LONG)
    heard = await kill_amid(engine, FallbackBackend(chain), sampling, signal.SIGSTOP)
    assert " lived a fisher" in heard.text
    assert heard.finished.reason == "length"
    await engine.close()


async def test_an_engine_that_is_not_running_leaves_it_to_ollama(settings, client):
    stopped = EngineClient(settings)
    assert not (await LocalBackend(stopped).available()).is_available
    heard = await hear(FallbackBackend([LocalBackend(stopped), OllamaBackend(client, "demo")]))
    assert heard.text.startswith("In a quiet forest")


async def test_the_engine_goes_on_with_tokens_as_if_it_had_written_them_just_now(engine):
    backend = LocalBackend(engine)
    assert (await backend.available()).is_available
    whole = await hear(backend, sampling=greedy(20))
    begun = whole.tokens[:12]
    text = "".join(token.text for token in begun)
    written = Written(text, 12, tuple(token.token_id for token in begun))
    assert text + (await go_on(backend, written)).text == whole.text


async def test_the_engine_goes_on_with_a_text_of_somebody_else(engine):
    heard = await go_on(LocalBackend(engine), Written("Long ago,", 3))
    assert heard.text
    assert len(heard.tokens) == 17


async def test_what_is_full_is_not_gone_on_with(engine):
    heard = await go_on(LocalBackend(engine), Written("Long ago,", 20))
    assert not heard.tokens
    assert heard.finished.reason == "length"


async def test_tokens_of_another_model_are_not_gone_on_with(engine):
    with pytest.raises(RequestError, match="another model began it"):
        await go_on(LocalBackend(engine), Written("x", 1, (10**6,)))


async def go_on(backend, written):
    events = backend.generate(
        user("Tell me a story."), sampling=greedy(20), speculative=SPECULATIVE, written=written
    )
    return Heard([event async for event in events])


async def test_an_engine_that_hung_is_the_last_to_be_asked_again(engine):
    hung = Scripted("hung", EngineStalledError("no progress for 120 s"), "later")
    other = Scripted("other")
    heard = await hear(FallbackBackend([hung, LocalBackend(engine), other]))
    assert heard.text == "".join(ANSWER)
    assert other.asked
    down = Scripted("down", BackendError("it is down"), "at once")
    chain = FallbackBackend([hung, LocalBackend(engine), down])
    heard = await hear(chain, sampling=greedy(20))
    assert heard.text.startswith("".join(ANSWER[:3]))
    assert down.asked
    assert heard.finished.stats.completion_tokens == 20


async def test_a_reason_that_two_give_marks_the_handover_once():
    error = EngineError("it broke")
    chain = [Scripted("one", error, "later"), Scripted("two", error, "at once"), Scripted("three")]
    heard = await hear(FallbackBackend(chain))
    assert heard.mode.handover == "one failed: it broke; three went on from here"
