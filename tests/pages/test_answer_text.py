"""The parts of an answer: what stands is drawn once, though the answer grows."""

from __future__ import annotations

import pytest

from config import SamplingParams, SpeculativeConfig
from pages.parts.answer_text import parts_of, settled_parts
from tests.chat.stand_in import BASELINE, Gate, finished, round_of
from tests.pages.steps import ask, check, job_of, wait_for_answer
from utils.chat.answer_record import AnswerRecord
from utils.chat.snapshots import AnswerRequest
from utils.engine.protocol import ChatMessage
from utils.events import Mode, Started

PARAGRAPH = "A paragraph of an answer that goes on and on.\n\n"
HANDOVER = Mode("standard", None, "it broke", handover="it broke; Ollama went on from here")
LONG = PARAGRAPH * 250


def growing(*, shows_sources):
    """Return the parts of an answer at each of its rounds, which another goes on with once."""
    request = AnswerRequest(
        (ChatMessage(role="user", content="?"),), SamplingParams(), SpeculativeConfig(), "owner"
    )
    record = AnswerRecord(request)
    record.take(Started(3, 0, 1, BASELINE))
    for number in range(60):
        if number == 30:
            record.take(HANDOVER)
        record.take(round_of([PARAGRAPH * 10, PARAGRAPH * 10], drafted=1))
        yield parts_of(record.snapshot(), shows_sources=shows_sources)


@pytest.mark.parametrize("shows_sources", [False, True])
def test_parts_that_are_said_to_stand_stay_what_they_are(shows_sources):
    settled: tuple = ()
    for parts in growing(shows_sources=shows_sources):
        count = settled_parts(parts)
        assert parts[: len(settled)] == settled
        assert count >= len(settled)
        settled = parts[:count]
    assert len(settled) >= 3


def drawn(page):
    return [markdown.value for markdown in page.markdown if "paragraph" in markdown.value]


def test_a_long_answer_is_all_there_while_it_is_written_and_after(engine, page):
    gate, first, rest = Gate(), round_of([LONG], drafted=0), round_of(["The end."], drafted=0)
    engine.client.scripts.append(
        [Started(3, 0, 1, BASELINE), first, gate, rest, finished([first, rest])]
    )
    ask(page, "1?")
    assert gate.reached.wait(10)
    check(page.run())
    assert "".join(drawn(page)).count("A paragraph") == 250
    assert job_of(page).snapshot().is_active

    gate.opened.set()
    wait_for_answer(page)
    assert "".join(drawn(page)).count("A paragraph") == 250
    assert any("The end" in markdown.value for markdown in page.markdown)
