"""A long conversation that was had before, for questions deep in the context."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

from benchmarks.rig import PLAIN, Rig
from config import SamplingParams
from utils.model_session import common_prefix
from utils.prompt_suite import Suite, left_over

ANSWER_TOKENS = 64
# What a question and its answer take after it.
ROOM_TOKENS = 256


def remember_conversation(rig: Rig, suite: Suite, path: Path, *, tokens: int) -> None:
    """Let all prompts follow on about `tokens` of questions that are not asked, and their answers.

    Each answer is written by itself, so that it is as good as it can be. Both caches keep the
    conversation, and `suite` is changed to go on from it. Raises `ValueError` where it does not
    fit.
    """
    room = rig.target.session.n_ctx
    if tokens + ROOM_TOKENS > room:
        raise ValueError(f"--depth is too deep: this model takes {room} tokens in all")
    sampling = SamplingParams(temperature=0, max_tokens=ANSWER_TOKENS)
    turns: list[str] = []
    answers: dict[str, str] = {}
    for question in cycle(left_over(suite, path)):
        if len(rig.encode(*turns, question)) >= tokens:
            break
        if question not in answers:
            rig.forget()
            answers[question] = rig.answer(rig.encode(question), sampling, PLAIN).text
        turns += [question, answers[question]]
    for prompts in suite.values():
        prompts[:] = [(*turns, *prompt) for prompt in prompts]
    encoded = [rig.encode(*prompt) for prompts in suite.values() for prompt in prompts]
    shared = min(common_prefix(encoded[0], prompt[:-1]) for prompt in encoded)
    rig.remember(encoded[0][:shared])
