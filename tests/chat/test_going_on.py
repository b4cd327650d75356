"""Answers that were cut and are gone on with: the same answer as one written at once."""

from __future__ import annotations

import pytest

from config import SamplingParams, Settings, SpeculativeConfig
from tests.chat.stand_in import BASELINE, Gate, finished, round_of, script
from tests.tiny_gguf import write_tiny_pair
from utils.backends.protocol import ModelChoice, Written
from utils.chat.jobs import GenerationJob
from utils.chat.snapshots import AnswerRequest, SourceRun, go_on
from utils.engine.protocol import ChatMessage
from utils.engine.runtime import EngineRuntime
from utils.errors import EngineCrashedError, RequestError
from utils.events import Finished, Mode, Started, Token, Tokens

QUESTION = (ChatMessage(role="user", content="Tell me about the sea, and 🦙."),)
DRAFTED = SpeculativeConfig(draft_model="embedded", draft_length="fixed", acceptance_threshold=0)
PLAIN = SpeculativeConfig(enabled=False)
EMBEDDED, TINY = ModelChoice("embedded"), ModelChoice("target")
WHOLE = 60


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The real engine, with the embedded pair and a model that writes broken characters."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_pair(folder)
    settings = Settings(
        _env_file=None,
        model_folders=(folder,),
        threads=1,
        batch_threads=1,
        # With it a pass over several tokens rounds as passes over one do: texts are equal.
        flash_attention="on",
        cache_folder=tmp_path_factory.mktemp("cache"),
    )
    runtime = EngineRuntime(settings)
    runtime.thread.call(runtime.client.start()).result(30)
    yield runtime
    runtime.close()


def asked(model=EMBEDDED, speculative=PLAIN, **sampling):
    return AnswerRequest(QUESTION, SamplingParams(**sampling), speculative, "somebody", model)


def run(request, runtime):
    job = GenerationJob(request, runtime)
    job.start()
    assert job.wait(60)
    assert job.snapshot().error is None
    return job.snapshot()


def cut_and_gone_on(runtime, at_tokens, *, max_tokens=WHOLE, **changes):
    """Cut an answer after so many tokens, and go on with it."""
    cut = run(asked(max_tokens=at_tokens, **changes), runtime)
    assert cut.finish_reason == "length"
    return cut, run(go_on(cut, asked(max_tokens=max_tokens - at_tokens, **changes)), runtime)


@pytest.mark.parametrize("speculative", [PLAIN, DRAFTED], ids=["plain", "drafted"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_an_answer_gone_on_with_is_the_one_written_at_once(runtime, temperature, speculative):
    how = {"temperature": temperature, "seed": 7, "speculative": speculative}
    whole = run(asked(max_tokens=WHOLE, **how), runtime)
    for at_tokens in (1, 23):
        cut, rest = cut_and_gone_on(runtime, at_tokens, **how)
        assert rest.text.startswith(cut.text)
        assert (rest.text, rest.token_ids) == (whole.text, whole.token_ids)
        assert rest.stats.completion_tokens == whole.stats.completion_tokens
        assert rest.finish_reason == whole.finish_reason


def test_a_seed_that_nobody_chose_is_kept(runtime):
    endless = {"model": TINY, "temperature": 0.8, "logit_bias": dict.fromkeys(range(5), -100.0)}
    _, rest = cut_and_gone_on(runtime, 20, **endless)
    whole = run(asked(max_tokens=WHOLE, seed=rest.seed, **endless), runtime)
    assert rest.text == whole.text


@pytest.mark.parametrize("stop", [(), ("e", "🦙"), ("thth",)])
def test_nothing_is_broken_where_a_character_or_a_stop_text_is_cut(runtime, stop):
    how = {"model": TINY, "temperature": 1.5, "top_k": 0, "top_p": 1, "seed": 5, "stop": stop}
    whole = run(asked(max_tokens=40, **how), runtime)
    cuts = 0
    for at_tokens in range(1, len(whole.token_ids)):
        cut, rest = cut_and_gone_on(runtime, at_tokens, max_tokens=40, **how)
        cuts += bool(cut.held_tokens)
        assert (rest.text, rest.token_ids) == (whole.text, whole.token_ids)
        assert "".join(part.text for part in rest.runs) == rest.text
    assert cuts or stop, "some characters are cut"


def test_twice_cut_is_as_good_as_once(runtime):
    how = {"temperature": 0.8, "seed": 11}
    whole = run(asked(max_tokens=WHOLE, **how), runtime)
    _, second = cut_and_gone_on(runtime, 10, max_tokens=30, **how)
    third = run(go_on(second, asked(max_tokens=30, **how)), runtime)
    assert (third.text, third.token_ids) == (whole.text, whole.token_ids)
    assert third.request.begun.request.begun is None, "no chain of all that was before"


def test_another_model_goes_on_with_the_text_alone(runtime):
    cut = run(asked(max_tokens=20, temperature=0), runtime)
    rest = run(go_on(cut, asked(model=TINY, max_tokens=20, temperature=0)), runtime)
    assert rest.text.startswith(cut.text)
    assert len(rest.text) > len(cut.text)
    assert (cut.model, rest.model) == ("embedded", "target")
    assert len(cut.token_ids) == 20
    assert rest.token_ids == (), "ids of two models are none"


@pytest.fixture
def cut(engine, request_):
    rounds = [round_of(["Good", " day"], drafted=1)]
    steps = [
        Started(3, 0, 9, BASELINE, "<think>\n", model="m"),
        *rounds,
        finished(rounds, "length"),
    ]
    engine.client.scripts.append(steps)
    return run(request_, engine)


def test_who_goes_on_gets_what_is_written_the_seed_and_that_much_more_room(engine, request_, cut):
    request = go_on(cut, request_)
    run(request, engine)
    sent = engine.client.asked[-1]
    assert sent["written"] == Written("Good day", 2, (0, 1), "<think>\n", "m")
    assert sent["sampling"].seed == 9
    assert sent["sampling"].max_tokens == request_.sampling.max_tokens + 2


def test_the_answer_begins_with_what_was_there_before_anything_more_comes(engine, request_, cut):
    gate = Gate()
    engine.client.scripts.append([gate])
    job = GenerationJob(go_on(cut, request_), engine)
    job.start()
    assert gate.reached.wait(5)
    before = job.snapshot()
    assert (before.state, before.text, before.runs) == ("queued", cut.text, cut.runs)
    assert (before.stats, before.rounds, before.opened) == (cut.stats, cut.rounds, "<think>\n")
    job.cancel()
    gate.opened.set()
    assert job.wait(5)
    assert job.snapshot().can_go_on


def test_numbers_and_marks_of_both_parts_are_told_together(engine, request_, cut):
    second = round_of([" to", " you"], drafted=3, start=4)
    mode = Mode("standard", None, "too slow")
    engine.client.scripts.append(
        [Started(5, 4, 9, BASELINE, model="m"), mode, second, finished([second])]
    )
    rest = run(go_on(cut, request_), engine)
    assert rest.text == "Good day to you"
    assert rest.stats.completion_tokens == 4
    assert rest.stats.rounds == len(rest.rounds) == 2
    assert rest.stats.decode_s == pytest.approx(cut.stats.decode_s + 0.005)
    assert rest.stats.prompt_tokens == 3, "what is gone on with is no prompt"
    assert rest.runs[: len(cut.runs)] == cut.runs
    assert rest.runs[-1] == SourceRun("resampled", " you")
    assert [(switch.at_tokens, switch.mode) for switch in rest.switches] == [(2, mode)]
    assert rest.started_at == cut.started_at
    assert rest.version > cut.version


def test_an_answer_that_fails_again_keeps_its_text(engine, request_, cut):
    engine.client.scripts.append([EngineCrashedError("the engine died")])
    job = GenerationJob(go_on(cut, request_), engine)
    job.start()
    assert job.wait(5)
    failed = job.snapshot()
    assert (failed.state, failed.text, failed.can_go_on) == ("failed", "Good day", True)


def test_what_would_read_otherwise_is_written_again(engine, request_):
    held = Tokens((Token(7, "\ufffd", "plain", 0.1),), (), BASELINE)
    first = round_of(["Good", " day"], drafted=1)
    done = finished([first], "length")
    last = Finished(done.reason, done.stats, held_tokens=1, held_chars=1)
    engine.client.scripts.append([Started(3, 0, 9, BASELINE), first, held, last])
    answer = run(request_, engine)
    assert answer.text == "Good day\ufffd"
    assert answer.written == Written("Good day", 2, (0, 1))


@pytest.mark.parametrize("reason", ["stop", ""])
def test_an_answer_that_was_not_cut_is_not_gone_on_with(engine, request_, reason):
    rounds = [round_of(["Good"], drafted=1)] if reason else []
    engine.client.scripts.append([*rounds, finished(rounds, reason or "length")])
    whole = run(request_, engine)
    assert not whole.can_go_on
    with pytest.raises(RequestError, match="cannot be gone on with"):
        go_on(whole, request_)


def test_an_answer_being_written_is_not_gone_on_with(engine, request_):
    gate = Gate()
    engine.client.scripts.append([round_of(["Good"], drafted=1), gate, *script(["a"])[-1:]])
    job = GenerationJob(request_, engine)
    job.start()
    assert gate.reached.wait(5)
    assert not job.snapshot().can_go_on
    gate.opened.set()
    assert job.wait(5)
