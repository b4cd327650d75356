"""Comparisons as values, for tests: answers of a given text and speed."""

from __future__ import annotations

from config import SamplingParams, SpeculativeConfig
from tests.chat.stand_in import BASELINE, finished
from utils.chat.answer_record import AnswerRecord
from utils.chat.race_snapshots import Entrant, RaceRequest, RaceSnapshot, Run
from utils.chat.snapshots import AnswerRequest
from utils.engine.protocol import ChatMessage
from utils.events import Mode, Started, Token, Tokens
from utils.performance_monitor import RoundStats

PLAIN = Entrant(SpeculativeConfig(enabled=False))
DRAFTED = Entrant(SpeculativeConfig())
OLLAMA = Entrant(SpeculativeConfig(enabled=False), "ollama")
QUESTION = (ChatMessage(role="user", content="Count to three."),)


def request(a=PLAIN, b=DRAFTED, *, temperature=0.0, **values):
    sampling = values.pop("sampling", SamplingParams(temperature=temperature, seed=7))
    return RaceRequest(QUESTION, sampling, a, b, **values)


def answer(
    words=("one", " two", " three"),
    *,
    ids=None,
    token_s=0.01,
    writer="",
    drafter="lookup",
    ends=True,
):
    """An answer of one token a round, each of which takes `token_s`; without a `drafter` plain."""
    record = AnswerRecord(AnswerRequest(QUESTION, SamplingParams(), SpeculativeConfig(), "me"))
    record.take(Started(3, 0, 7, BASELINE))
    drafter = None if writer else drafter
    mode = "speculative" if drafter else "standard"
    record.take(Mode(mode, drafter, "because", writer=writer))
    parts = [
        Tokens(
            (Token(token_id, word, "plain", 0.1),),
            (RoundStats(None, 0, 0, 1, 0.0, token_s, token_s, 0),),
            BASELINE,
        )
        for word, token_id in zip(words, ids or range(len(words)), strict=True)
    ]
    for part in parts:
        record.take(part)
    if ends:
        record.take(finished(parts))
    return record.snapshot()


def race(*runs, state="done", current=None, asked=None, **values):
    """A comparison of runs that are pairs of side and answer."""
    asked = asked or request()
    made = tuple(Run(side, asked.entrant(side), written) for side, written in runs)
    if current is not None:
        current = Run(current[0], asked.entrant(current[0]), current[1])
    return RaceSnapshot("id", state, asked, 0.0, made, current, **values)
