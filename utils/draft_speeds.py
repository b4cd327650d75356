"""How fast answers were with each draft: kept by target and draft, so that the choice goes by it.

Sums of tokens and seconds, nothing of any text. They hold while both files, the way they are
opened and the machine stay the same.
"""

from __future__ import annotations

import json
import math
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from config import LOOKUP, ModelOptions, Settings
from utils.llama.probe import entry_of, timed_entry_of
from utils.performance_monitor import GenerationStats, ratio

FEWEST_TOKENS = 500
SHORTEST_ANSWER = 16
# Beyond so many, what was before counts for half: models and machines stay, what is asked changes.
MOST_TOKENS = 20_000
MOST_DRAFTS = 64
# Answers that end together are noted by several threads.
_noting = Lock()


@dataclass(frozen=True, slots=True)
class DraftSpeed:
    """What answers took with a draft, and `plain_s`: what they would have taken without."""

    answers: float = 0.0
    tokens: float = 0.0
    decode_s: float = 0.0
    plain_s: float = 0.0

    @property
    def speedup(self) -> float:
        """Plain time over the time taken; 0 where nothing is known."""
        return ratio(self.plain_s, self.decode_s)

    @property
    def is_telling(self) -> bool:
        """True once so much was written that it says more than any estimate."""
        return self.tokens >= FEWEST_TOKENS

    def with_answer(self, stats: GenerationStats) -> DraftSpeed:
        """Return it with one more answer, whose plain speed is known."""
        share = 0.5 if self.tokens >= MOST_TOKENS else 1.0
        plain_s = stats.completion_tokens / stats.baseline.tokens_per_second
        return DraftSpeed(
            answers=share * self.answers + 1,
            tokens=share * self.tokens + stats.completion_tokens,
            decode_s=share * self.decode_s + stats.decode_s,
            plain_s=share * self.plain_s + plain_s,
        )


UNKNOWN = DraftSpeed()
Speeds = dict[str, DraftSpeed]


def speeds_file(target: Path, options: ModelOptions, settings: Settings) -> Path:
    """Return where the speeds of a target are kept, when it is opened this way on this machine."""
    return timed_entry_of(target, settings.cache_folder / "speeds", options)


def key_of(draft: Path | None) -> str:
    """Return what tells a version of a draft's file from others; None is lookup, which has none."""
    return LOOKUP if draft is None else entry_of(draft, Path()).stem


def recall_speeds(kept: Path) -> Speeds:
    """Return the speeds in a file by draft, without what is not to be believed."""
    with suppress(OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        found = json.loads(kept.read_text(encoding="utf-8"))
        speeds = {key: DraftSpeed(**values) for key, values in found.items()}
        return {key: speed for key, speed in speeds.items() if _is_sound(speed)}
    return {}


def note_speed(kept: Path, draft: Path | None, stats: GenerationStats) -> None:
    """Add an answer to the speeds in a file; one that cannot be written is as if it never was."""
    is_comparable = stats.baseline.tokens_per_second > 0 and stats.decode_s > 0
    if not is_comparable or stats.completion_tokens < SHORTEST_ANSWER:
        return
    key = key_of(draft)
    with _noting, suppress(OSError):
        speeds = recall_speeds(kept)
        # The newest last, and no more than a few: files come and go.
        speeds[key] = speeds.pop(key, UNKNOWN).with_answer(stats)
        newest = list(speeds.items())[-MOST_DRAFTS:]
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=kept.parent, suffix=".part", delete=False, encoding="utf-8"
        ) as part:
            json.dump({name: asdict(speed) for name, speed in newest}, part)
        Path(part.name).replace(kept)


def _is_sound(speed: DraftSpeed) -> bool:
    numbers = (speed.answers, speed.tokens, speed.decode_s, speed.plain_s)
    return all(math.isfinite(number) and number > 0 for number in numbers)
