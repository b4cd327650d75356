"""Which draft suits a target best, of what is installed: by vocabulary, size, memory and cost.

What answers have shown of a draft counts. Of others nobody knows how often they will be right: a
rate that is usual for their size stands in, and their speedup is an estimate. Times that were
measured rule none out that could pay: they may be those of a busy machine, and what is never tried
is never known better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

from config import EMBEDDED, LOOKUP, ModelOptions, Settings
from utils.cost_table import CostTable
from utils.draft_estimates import (
    MAX_WIDTH,
    could_pay,
    expected_speedup,
    is_twin,
    token_cost,
    usual_acceptance,
)
from utils.draft_models import (
    DraftOption,
    InstalledModel,
    draft_options,
    find_embedded_draft,
    find_target,
    installed_models,
    target_options,
)
from utils.draft_speeds import UNKNOWN, DraftSpeed, Speeds, key_of, recall_speeds, speeds_file
from utils.engine import memory
from utils.engine.calibration import costs_file, costs_folder, recall
from utils.engine.draft_times import recall_token_s, token_time_file
from utils.errors import ModelFileError
from utils.llama.gguf_header import GGUFHeader, estimate_memory_bytes
from utils.llama.probe import kept_verdict, probe_folder
from utils.sizes import size
from utils.vocabulary_map import Fit

LARGEST_SHARE = 1 / 3
LOOKUP_SPEEDUP = 1.1
# How far estimates can be off by what answers show, and what gain is enough to tell.
MOST_CORRECTION, LEAST_GAIN = 2.0, 0.05
# A model drafts beside lookup, and only in rounds where that pays: a trial of it costs little.
HOPED_SPEEDUP = LOOKUP_SPEEDUP + LEAST_GAIN
TIMES = "\N{MULTIPLICATION SIGN}"

Verdict = Literal["usable", "unfit", "too large"]


@dataclass(frozen=True, slots=True)
class RankedDraft:
    """A draft and what is expected of it; `rank` 1 is the best, 0 is for what cannot be used.

    `speedup` over plain decoding is that of answers where `is_measured`, or else an estimate;
    `needed_bytes` is the memory it takes with the target's context; too large is what would draft
    if there were more. `overlap` is what its vocabulary and the target's have in common, of the
    larger one, and `fit` how it drafts in that. `was_tried`: its file was loaded once, and what
    came of it is known. `sentence` says why it stands where it does.
    """

    name: str
    label: str
    verdict: Verdict
    sentence: str
    rank: int = 0
    speedup: float = 0.0
    is_measured: bool = False
    needed_bytes: int = 0
    overlap: float = 1.0
    fit: Fit | None = None
    was_tried: bool = False
    warning: str = ""

    @property
    def is_usable(self) -> bool:
        """True where it can draft for this target, on this machine, now."""
        return self.verdict == "usable"


def rank_drafts(
    target: str, settings: Settings, *, is_loaded: bool, has_gpu: bool = False
) -> list[RankedDraft]:
    """Return all drafts for the target of that name, the best first; reads files, loads nothing.

    Those that cannot be used come last, with the reason. A draft must fit in what memory is left,
    without what a target takes that is not yet loaded; with layers on a GPU nobody can tell.
    Raises `UnknownModelError` or `ModelFileError` for a target that is none.
    """
    model = find_target(target, settings)
    judge = _judge_for(model, settings, is_loaded=is_loaded, has_gpu=has_gpu)
    models = {other.name: other for other in installed_models(settings)}
    models[EMBEDDED] = find_embedded_draft()
    looked_at = [
        judge.look_at(option, models.get(option.name))
        for option in draft_options(settings, model.name)
    ]
    # The embedded pair was made for each other, whatever an estimate says.
    first = EMBEDDED if model.name == EMBEDDED else None
    drafts = sorted(_judged(looked_at), key=lambda draft: _order(draft, first))
    return [
        replace(draft, rank=place) if draft.is_usable else draft
        for place, draft in enumerate(drafts, start=1)
    ]


def best_draft(drafts: Sequence[RankedDraft]) -> RankedDraft | None:
    """Return what is taken where nobody chooses, None where nothing can draft."""
    return next((draft for draft in drafts if draft.is_usable), None)


def missed_draft(drafts: Sequence[RankedDraft]) -> RankedDraft | None:
    """Return the draft that would be the best one if there were memory for it."""
    best = best_draft(drafts)
    beaten = best.speedup if best else 0.0
    large = [draft for draft in drafts if draft.verdict == "too large" and draft.speedup > beaten]
    return max(large, key=lambda draft: draft.speedup, default=None)


@dataclass(frozen=True, slots=True)
class _Costs:
    """Seconds of a plain step, and what wider passes cost in such steps."""

    step_s: float
    passes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _LookedAt:
    """A draft by its estimate, which `basis` names, and what answers took with it.

    `is_hopeful`: it could pay, whatever times were measured. Where there is neither estimate nor
    answers, `reason` says why nothing is to be expected.
    """

    draft: RankedDraft
    speed: DraftSpeed = UNKNOWN
    basis: str = ""
    is_hopeful: bool = False
    reason: str = ""

    @property
    def share_come_true(self) -> float | None:
        """The share of the gain that was expected which answers show, None where unknown."""
        expected = self.draft.speedup - 1
        if not self.speed.is_telling or not self.basis or expected < LEAST_GAIN:
            return None
        return (self.speed.speedup - 1) / expected

    def judged(self, correction: float) -> RankedDraft:
        """Return the draft by what answers show, or else by its estimate as far as such hold."""
        speedup, said = self.draft.speedup, self.reason
        if self.speed.is_telling:
            speedup = self.speed.speedup
            said = f"{speedup:.2f}{TIMES} plain in answers so far"
        elif self.basis:
            speedup = 1 + correction * (speedup - 1)
            said = f"some {speedup:.1f}{TIMES} plain, {self.basis}"
            if self.draft.is_usable and self.is_hopeful and speedup < HOPED_SPEEDUP:
                # Above lookup, and yet in their order.
                speedup = LOOKUP_SPEEDUP + LEAST_GAIN * speedup / HOPED_SPEEDUP
                said = f"{said}; answers are to tell, as it drafts beside lookup"
        draft = replace(self.draft, speedup=speedup, is_measured=self.speed.is_telling)
        if not draft.is_usable:
            return draft
        return replace(
            draft, sentence="; ".join(filter(None, (draft.sentence, said, draft.warning)))
        )


def _judged(looked_at: Sequence[_LookedAt]) -> Iterable[RankedDraft]:
    """Return the drafts; what answers show of some says how far estimates of others are off."""
    shares = [share for seen in looked_at if (share := seen.share_come_true) is not None]
    correction = min(max(median(shares), 0.0), MOST_CORRECTION) if shares else 1.0
    return (seen.judged(correction) for seen in looked_at)


def _order(draft: RankedDraft, first: str | None) -> tuple[object, ...]:
    # What is as fast to the second place takes less memory, or comes first by name.
    speedup = round(draft.speedup, 2)
    return not draft.is_usable, draft.name != first, -speedup, draft.needed_bytes, draft.name


@dataclass(frozen=True, slots=True)
class _Judge:
    """Looks at drafts for one target; None stands for what nobody can tell."""

    target: GGUFHeader
    settings: Settings
    options: ModelOptions
    room_bytes: int | None
    costs: _Costs | None
    speeds: Speeds
    on_gpu: bool

    def look_at(self, option: DraftOption, model: InstalledModel | None) -> _LookedAt:
        draft = RankedDraft(
            option.name,
            option.label,
            "unfit",
            option.reason,
            overlap=option.overlap if option.compatible else 0.0,
            fit=option.fit if option.compatible else None,
            warning=option.warning,
        )
        if not option.compatible:
            return _LookedAt(draft)
        if option.name == LOOKUP:
            sentence = "takes no memory, and pays where the text repeats what stood before"
            draft = replace(draft, verdict="usable", speedup=LOOKUP_SPEEDUP, sentence=sentence)
            return _LookedAt(draft, self._speed(None))
        if model is None or model.header is None:
            return _LookedAt(replace(draft, sentence="its file is gone"))
        verdict = kept_verdict(model.path, probe_folder(self.settings))
        draft = replace(draft, was_tried=verdict is not None or model.name == EMBEDDED)
        if verdict is not None and not verdict.usable:
            return _LookedAt(replace(draft, sentence=model.called_by_name(verdict.reason)))
        acceptance = usual_acceptance(
            self.target,
            model.header,
            overlap=None if option.fit == "same" else option.overlap,
        )
        seen = self._estimated(draft, model, model.header, acceptance)
        return replace(seen, draft=self._fitted(seen.draft))

    def _speed(self, path: Path | None) -> DraftSpeed:
        return self.speeds.get(key_of(path), UNKNOWN)

    def _estimated(
        self, draft: RankedDraft, model: InstalledModel, header: GGUFHeader, acceptance: float
    ) -> _LookedAt:
        share = header.size_bytes / self.target.size_bytes
        needed_bytes = estimate_memory_bytes(
            header, self.options.context_tokens, self.options.cache_type
        )
        draft = replace(draft, verdict="usable", speedup=1.0, needed_bytes=needed_bytes)
        takes = f"takes about {size(needed_bytes)}"
        if share > LARGEST_SHARE:
            sentence = f"over a third of the target's size, {takes}"
            reason = "it would cost more than it saves"
            return _LookedAt(
                replace(draft, sentence=sentence), self._speed(model.path), reason=reason
            )
        token_s, step_s = self._token_s(model), self.costs.step_s if self.costs else None
        cost = token_cost(self.target, header, step_s=step_s, on_gpu=self.on_gpu)
        basis = "a rough estimate"
        if token_s and step_s:
            cost, basis = token_s / step_s, "by the times of both models"
        speedup = expected_speedup(acceptance, cost, self.costs.passes if self.costs else ())
        whose = "size in fewer bits" if is_twin(self.target, header) else "size"
        sentence = f"1/{1 / share:.0f} of the target's {whose}, {takes}"
        draft = replace(draft, speedup=speedup, sentence=sentence)
        is_hopeful = could_pay(self.target, header, acceptance, on_gpu=self.on_gpu)
        return _LookedAt(draft, self._speed(model.path), basis, is_hopeful)

    def _token_s(self, model: InstalledModel) -> float | None:
        """Return what a token was measured to take of a draft, or of the model as a target."""
        kept = token_time_file(model.path, self.options, costs_folder(self.settings))
        if token_s := recall_token_s(kept):
            return token_s
        as_target = _recall_costs(model, self.settings)
        return as_target.step_s if as_target else None

    def _fitted(self, draft: RankedDraft) -> RankedDraft:
        if self.room_bytes is None or draft.needed_bytes < self.room_bytes:
            return draft
        sentence = (
            f"does not fit in memory beside the target: takes about {size(draft.needed_bytes)}, "
            f"{size(max(0, self.room_bytes))} are left"
        )
        return replace(draft, verdict="too large", sentence=sentence)


def _judge_for(
    model: InstalledModel, settings: Settings, *, is_loaded: bool, has_gpu: bool
) -> _Judge:
    if model.header is None:
        raise ModelFileError(model.reason)
    options = target_options(model, settings)
    on_gpu = has_gpu and options.gpu_layers != 0
    room_bytes = None if on_gpu else memory.available_bytes()
    if room_bytes is not None and not is_loaded:
        room_bytes -= estimate_memory_bytes(
            model.header, options.context_tokens, options.cache_type
        )
    costs = _recall_costs(model, settings)
    speeds = recall_speeds(speeds_file(model.path, options, settings))
    return _Judge(model.header, settings, options, room_bytes, costs, speeds, on_gpu)


def _recall_costs(model: InstalledModel, settings: Settings) -> _Costs | None:
    """Return what was measured when the model was loaded as a target, if it ever was."""
    passes = recall(costs_file(model.path, target_options(model, settings), settings))
    if passes is None:
        return None
    table = CostTable(passes, max_width=MAX_WIDTH)
    step_s = table.seconds(1)
    widths = (table.padded_width(width, MAX_WIDTH) for width in range(1, MAX_WIDTH + 1))
    return _Costs(step_s, tuple(table.seconds(width) / step_s for width in widths))
