"""What a token of a draft takes, timed when it is opened, and kept for the next time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from config import ModelOptions
from utils.engine.calibration import is_steady, keep, recall
from utils.llama.model import LlamaModel
from utils.llama.probe import timed_entry_of
from utils.llama.short_passes import settle_threads

# A file may tell anything: no less is believed than this share of what is measured.
LEAST_OF_MEASURED = 0.25


def token_time_file(path: Path, options: ModelOptions, folder: Path) -> Path:
    """Return where the time of a draft's tokens is kept, when it is opened as its target is."""
    return timed_entry_of(path, folder, options, "draft")


def recall_token_s(kept: Path) -> float | None:
    """Return the seconds of a token that were kept, None where there are none to be believed."""
    passes = recall(kept)
    return passes[0][1] if passes and 0 in passes else None


def time_tokens(model: LlamaModel, kept: Path | None, *, is_quiet: Callable[[], bool]) -> float:
    """Settle with how many threads a draft decodes; return the seconds of a token to begin with.

    That is what was kept in the file `kept`, where it is less than what is measured now, which
    takes its place there if the machine is quiet, as far as can be seen and `is_quiet` knows.
    Raises `ModelError` if the draft fails.
    """
    times = settle_threads(model.session, model.vocabulary.bos or 0, model.info.threads)
    if kept is None:
        return times.best_s
    known_s = recall_token_s(kept) or times.best_s
    if is_steady(times.usual_s, times.best_s) and is_quiet():
        keep(kept, {0: {1: times.best_s}})
    # Whatever else the machine does makes a pass slower, never faster.
    return min(times.best_s, max(known_s, LEAST_OF_MEASURED * times.best_s))
