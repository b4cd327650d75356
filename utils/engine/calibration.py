"""What passes of a target cost, measured when it is loaded, and kept for the next time."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter

from config import ModelOptions, SamplingParams, Settings, SpeculativeConfig
from utils.cost_table import CostTable, PassTimes, is_plausible, is_sound
from utils.events import Tokens
from utils.llama.probe import timed_entry_of
from utils.llama.session import LlamaSession
from utils.llama.short_passes import wait_as_between_passes
from utils.model_session import DecodeAborted, ModelSession, Vocabulary, prefill
from utils.performance_monitor import PlainClock
from utils.speculative_decoding import SpeculativeDecoder

QUESTION = "Count from one to forty."
STEPS = 32
FEWEST_STEPS = 3
STEPS_BUDGET_S = 1.5
LOGIT_BIASES = 64
# The most telling first: a slow target has no time for all of them.
WIDTHS = (1, 4, 8, 2, 16, 6, 3, 12, 5, 17, 7, 10, 14, 9, 11, 13, 15, 24, 32, 48, 64)
DEEP_WIDTHS = (1, 4, 8, 16, 2)
PASS_RUNS, PLAIN_ROW, CACHED_PASS_S = 6, 3, 0.01
# Where passes take so much longer than the best one, others are at work: nothing to be kept.
MOST_OF_BEST, BOOKKEEPING_S = 2.0, 200e-6
PASS_BUDGET_S, DEEP_BUDGET_S = 1.5, 0.7
# Kept times are held against few passes, twice where they differ: where they do by so much, the
# machine was busy then, or is another one. By how much it may be slower now, and still tell.
LOOKS, CHECKED_WIDTH, CHECK_RUNS, CHECK_BUDGET_S = 2, 8, 2, 0.3
MOST_CHANGE, MOST_SLOWER = 1.5, 1.25
DEEP_TOKENS = 1024
FEWEST_DEEP_TOKENS = 256
# Passes of a model of 15 million weights take 1.6 times as long after 512 tokens, larger ones less.
MOST_GROWTH = 2.0

ShouldStop = Callable[[], bool]


async def calibrate(
    session: LlamaSession,
    vocabulary: Vocabulary,
    prompt: Sequence[int],
    *,
    clock: PlainClock,
    max_rows: int,
    should_stop: ShouldStop,
    kept: Path | None = None,
    is_quiet: Callable[[], bool] = lambda: True,
) -> CostTable | None:
    """Time plain steps after `prompt` through the real loop, into `clock`, then passes by width.

    Steps: 32, or what fits in 1.5 s, but 3 at least. Passes: those in the file `kept`, if few new
    ones agree, or else measured, for some two seconds at most, and kept there if the machine was
    quiet, as far as can be seen and `is_quiet` knows. Forgets the text. Returns None where it was
    stopped too early to tell, or times make no sense. Raises `TargetError` if the target fails.
    """
    prompt = prompt[: session.n_ctx // 2]
    steps = await _time_steps(session, vocabulary, prompt, should_stop)
    passes, is_new = recall(kept) if kept else None, False
    with suppress(DecodeAborted):
        if passes and steps:
            looks = (_still_hold(session, passes, max_rows, should_stop) for _ in range(LOOKS))
            passes = passes if any(looks) else None
        is_new = passes is None
        if is_new and steps and not should_stop():
            with session.same_threads():
                passes = time_passes(session, prompt, max_rows=max_rows, should_stop=should_stop)
    session.rollback(0)
    costs = None
    if passes and steps and is_sound(passes):
        shallow = passes[min(passes)]
        was_steady = is_steady(median(steps), shallow[1])
        if is_new and was_steady and is_quiet() and kept and not should_stop():
            keep(kept, passes)
        costs = CostTable(passes, max_width=max_rows)
        # Kept times are those of another day: only their ratios count.
        costs.pace = 1.0 if is_new else median(steps) / shallow[1]
    for seconds in steps:
        clock.note_loading(seconds)
    return costs


def is_steady(usual_s: float, best_s: float) -> bool:
    """Tell whether passes took about as long as the best of them, so that it can be kept."""
    return usual_s <= MOST_OF_BEST * best_s + BOOKKEEPING_S


def time_passes(
    session: ModelSession, prompt: Sequence[int], *, max_rows: int, should_stop: ShouldStop
) -> dict[int, dict[int, float]]:
    """Return the seconds of passes by width, after `prompt` and, if there is time, deep down.

    None at all where it was stopped before the first; raises `DecodeAborted` where amid one.
    """
    session.rollback(0)
    _fill(session, prompt)
    depth = len(session.cached)
    shallow = _time_widths(session, WIDTHS, max_rows, PASS_BUDGET_S, should_stop)
    if not shallow:
        return {}
    passes = {depth: shallow}
    deep = min(DEEP_TOKENS, session.n_ctx // 2)
    per_token_s = min(seconds / width for width, seconds in shallow.items())
    if deep < FEWEST_DEEP_TOKENS or per_token_s * deep > DEEP_BUDGET_S:
        return passes
    with suppress(DecodeAborted):
        _fill(session, [prompt[index % len(prompt)] for index in range(depth, deep)])
        if not should_stop():
            times = _time_widths(session, DEEP_WIDTHS, max_rows, DEEP_BUDGET_S, should_stop)
            passes[deep] = {
                width: seconds * _growth(width, times, shallow)
                for width, seconds in shallow.items()
            }
    return passes


def costs_folder(settings: Settings) -> Path:
    """Return where times are kept, of targets and of drafts."""
    return settings.cache_folder / "costs"


def costs_file(path: Path, options: ModelOptions, settings: Settings) -> Path:
    """Return where the times of a model are kept, when it is opened this way on this machine."""
    return timed_entry_of(path, costs_folder(settings), options)


def recall(path: Path) -> PassTimes | None:
    """Return times that were kept, None where there are none to be believed."""
    with suppress(OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        passes = {
            int(depth): {int(width): float(seconds) for width, seconds in times.items()}
            for depth, times in found.items()
        }
        return passes if is_sound(passes) and is_plausible(passes) else None
    return None


def keep(path: Path, passes: PassTimes) -> None:
    """Write times to a file; one that cannot be written is measured again next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8"
        ) as part:
            json.dump(passes, part)
        Path(part.name).replace(path)


async def _time_steps(
    session: ModelSession, vocabulary: Vocabulary, prompt: Sequence[int], should_stop: ShouldStop
) -> list[float]:
    deadline = perf_counter() + STEPS_BUDGET_S
    steps: list[float] = []

    def is_enough() -> bool:
        return should_stop() or (len(steps) >= FEWEST_STEPS and perf_counter() > deadline)

    decoder = SpeculativeDecoder(session, vocabulary, clock=PlainClock())
    async for event in decoder.generate(
        prompt,
        sampling=_endless(vocabulary, min(STEPS, session.n_ctx - len(prompt))),
        speculative=SpeculativeConfig(enabled=False),
        drafter=None,
        reason="measuring plain decoding",
        should_stop=is_enough,
    ):
        if isinstance(event, Tokens):
            steps += [stats.total_s for stats in event.rounds]
    return steps


def _still_hold(
    session: ModelSession, passes: PassTimes, max_rows: int, should_stop: ShouldStop
) -> bool:
    """Tell whether few passes, over one token and over several, agree with what was kept.

    A machine that is slower than it was then tells nothing: others may be at work.
    """
    known = passes[min(passes)]
    wide = max(width for width in known if width <= CHECKED_WIDTH)
    now = _time_widths(session, (1, wide), max_rows, CHECK_BUDGET_S, should_stop, runs=CHECK_RUNS)
    if not {1, wide} <= now.keys() or now[1] > MOST_SLOWER * known[1]:
        return True
    growth = (now[wide] / now[1]) / (known[wide] / known[1])
    return known[1] <= MOST_CHANGE * now[1] and 1 / MOST_CHANGE <= growth <= MOST_CHANGE


def _time_widths(
    session: ModelSession,
    widths: tuple[int, ...],
    max_rows: int,
    budget_s: float,
    should_stop: ShouldStop,
    *,
    runs: int = PASS_RUNS,
) -> dict[int, float]:
    deadline = perf_counter() + budget_s
    depth, token_id = len(session.cached), session.cached[-1]
    times: dict[int, float] = {}
    # Round after round, so that a busy moment spoils no width in all of its runs.
    for width in widths * runs:
        if should_stop() or (len(times) > 1 and perf_counter() > deadline):
            break
        if width > min(session.max_batch, session.n_ctx - depth):
            continue
        seconds = _time_pass(session, [token_id] * width, min(width, max_rows))
        if width == 1 and seconds < CACHED_PASS_S:
            # Plain passes follow each other, and find so small a model in the processor's caches.
            seconds = min(_time_pass(session, [token_id], 1) for _ in range(PLAIN_ROW))
        # Whatever else the machine does makes a pass slower, never faster.
        times[width] = min(seconds, times.get(width, seconds))
    return times


def _time_pass(session: ModelSession, token_ids: list[int], rows: int) -> float:
    depth, begin = len(session.cached), wait_as_between_passes()
    session.decode(token_ids, rows=rows)
    seconds = perf_counter() - begin
    session.rollback(depth)
    return seconds


def _growth(width: int, times: dict[int, float], shallow: dict[int, float]) -> float:
    """Return how many times as long a pass takes deep down: as one of the nearest width there."""
    if not times:
        return 1.0
    nearest = min(times, key=lambda known: abs(known - width))
    return min(times[nearest] / shallow[nearest], MOST_GROWTH)


def _fill(session: ModelSession, token_ids: Sequence[int]) -> None:
    for _ in prefill(session, [*session.cached, *token_ids]):
        pass


def _endless(vocabulary: Vocabulary, max_tokens: int) -> SamplingParams:
    """Return greedy sampling that does not end by itself."""
    ends = [token_id for token_id in range(vocabulary.size) if vocabulary.is_end(token_id)]
    bias = dict.fromkeys(ends[:LOGIT_BIASES], -100.0)
    return SamplingParams(temperature=0, logit_bias=bias, max_tokens=max_tokens)
