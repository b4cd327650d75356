"""Writes an answer that does not end, saves it, and tells on stdout of every save: to be killed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from config import SamplingParams, SpeculativeConfig
from tests.chat.stand_in import BASELINE, Gate, StandInEngine, Step, round_of
from utils.chat.archive import Archive
from utils.chat.conversation import AnswerSettings, Conversation
from utils.chat.jobs import JobBoard
from utils.chat.shelf import ConversationShelf
from utils.events import Started
from utils.storage.database import Database

QUESTION = "Tell me a story without an end."
WORD = " again"


class TellingArchive(Archive):
    """Says after every save how many characters of the answer are kept."""

    def save(self, conversation: Conversation) -> None:
        super().save(conversation)
        (turn,) = self._kept[conversation].turns.values()
        print(conversation.id, len(turn.answer.text if turn.answer else ""), flush=True)


def story(rounds: int) -> Iterator[Step]:
    """Start, so many rounds of one word each, and then nothing more."""
    yield Started(3, 0, 7, BASELINE)
    for number in range(rounds):
        yield round_of([WORD], drafted=2, start=number)
    yield Gate()


def main(path: str, rounds: str, save_every_s: str) -> None:
    """Ask, and save behind the answer until somebody kills this process."""
    engine = StandInEngine()
    engine.client.scripts.append(list(story(int(rounds))))
    archive = TellingArchive(Database(Path(path)))
    shelf = ConversationShelf(archive=lambda: archive, save_every_s=float(save_every_s))
    conversation = Conversation(owner="me")
    settings = AnswerSettings(SamplingParams(), SpeculativeConfig())
    conversation.ask(QUESTION, settings, board=JobBoard(), runtime=engine)
    shelf.put(conversation)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
