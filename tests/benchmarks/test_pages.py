from __future__ import annotations

from benchmarks.pages import INTERACTIONS, PageFigures, Times, as_markdown
from benchmarks.scripted_app import TEXT, ScriptedAnswers
from utils.engine.protocol import ChatMessage
from utils.events import Finished, Tokens

TIMES = Times(41.0, 97.0)
CLICKED = dict.fromkeys(INTERACTIONS, TIMES)
FIGURES = PageFigures(500, 60_000, 900.0, CLICKED, CLICKED, TIMES, TIMES, TIMES, 9.0, 80.0, 1e5)


def test_the_table_names_every_figure_once():
    table = as_markdown(FIGURES)
    assert "500 messages, answer of 60,000 characters" in table
    assert len(table.splitlines()) == 9 + 2 * len(INTERACTIONS)
    assert table.count("41 ms (slowest 97)") == 3 + 2 * len(INTERACTIONS)


async def test_a_scripted_answer_repeats_its_text_and_ends_with_its_figures():
    answers = ScriptedAnswers(tokens=400, tokens_per_s=1e6)
    message = ChatMessage(role="user", content="Write 400 tokens.")
    events = [event async for event in answers.generate((message,), sampling=None)]
    text = "".join(token.text for one in events if isinstance(one, Tokens) for token in one.tokens)
    assert len(text) >= 1000
    assert (TEXT * 9).startswith(text[: len(TEXT)])
    assert isinstance(events[-1], Finished)
    assert events[-1].stats.completion_tokens == 400
