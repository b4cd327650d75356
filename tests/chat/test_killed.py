"""A process is killed while it writes an answer: what was written is there, and can go on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.chat.endless_answer import QUESTION, WORD
from tests.chat.stand_in import script
from utils.chat.answer_history import list_answers, load_answer
from utils.chat.archive import Archive

pytestmark = pytest.mark.usefixtures("unmeasured_children")


def kill_while_writing(database, *, rounds, save_every_s, until):
    """Let a process write and save until `until` characters and saves; return the id it told."""
    command = [sys.executable, "-m", "tests.chat.endless_answer", str(database.path)]
    with subprocess.Popen(
        [*command, str(rounds), str(save_every_s)], stdout=subprocess.PIPE, text=True
    ) as process:
        for saves, line in enumerate(process.stdout, start=1):
            conversation_id, kept = line.split()
            if until(int(kept), saves):
                process.kill()
                break
    assert process.returncode == -9
    return conversation_id, int(kept)


@pytest.fixture
def killed(database):
    wanted = 40 * len(WORD)
    conversation_id, _ = kill_while_writing(
        database, rounds=40, save_every_s=0.05, until=lambda kept, _: kept == wanted
    )
    return conversation_id


def test_the_partial_text_is_found_again_and_says_that_it_was_cut_off(killed, archive):
    archive.mend()
    (turn,) = archive.load(killed).turns
    assert (turn.question, turn.answer.text) == (QUESTION, WORD * 40)
    assert (turn.answer.state, turn.answer.finish_reason) == ("failed", None)
    assert "the app ended while this answer was being written" in turn.answer.error
    assert turn.answer.stats.completion_tokens == 40
    assert len(turn.answer.rounds) == 40


def test_it_is_found_though_nobody_mended_the_database(killed, archive):
    (turn,) = archive.load(killed).turns
    assert (turn.answer.state, turn.answer.text) == ("failed", WORD * 40)


def test_it_can_be_gone_on_with(killed, archive, engine, board, settings):
    conversation = archive.load(killed)
    engine.client.scripts.append(script([" and", " the", " end"]))
    assert conversation.continue_answer(settings, board=board, runtime=engine).wait(5)
    (turn,) = conversation.turns
    assert turn.answer.text == WORD * 40 + " and the end"
    assert engine.client.asked[-1]["written"].text == WORD * 40
    archive.save(conversation)
    assert len(archive.list("me", "the end")) == 1


def test_it_can_be_written_again_and_stays_as_a_version(killed, archive, engine, board, settings):
    conversation = archive.load(killed)
    engine.client.scripts.append(script(["Once"]))
    assert conversation.regenerate(settings, board=board, runtime=engine).wait(5)
    assert conversation.turns[0].answer.text == "Once"
    assert conversation.versions_of(conversation.turns[0].id).position == 2


def test_lists_searches_and_figures_know_it(killed, database, archive):
    archive.mend()
    assert [found.id for found in archive.list("me")] == [killed]
    assert [found.id for found in archive.list("me", "again")] == [killed]
    (figures,) = list_answers(database, "me")
    assert (figures.state, figures.completion_tokens) == ("failed", 40)
    assert load_answer(database, figures.turn_id).text == WORD * 40


def test_a_save_that_is_torn_leaves_the_one_before(database):
    conversation_id, kept = kill_while_writing(
        database, rounds=100_000, save_every_s=0.0, until=lambda _, saves: saves == 12
    )
    ((verdict,),) = database.read("PRAGMA integrity_check")
    assert verdict == "ok"
    (turn,) = Archive(database).load(conversation_id).turns
    text = turn.answer.text
    assert len(text) >= kept
    assert text == WORD * (len(text) // len(WORD))
