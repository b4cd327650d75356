"""Which draft suits a target best, of what is installed: by vocabulary, size, memory and cost.

How often a draft will be right is not known before it has drafted: a rate that is usual for its
size stands in, and every speedup here is an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log2
from typing import Literal

from config import EMBEDDED, LOOKUP, ModelOptions, Settings
from utils.cost_table import CostTable
from utils.draft_models import (
    DraftOption,
    InstalledModel,
    draft_options,
    find_embedded_draft,
    find_target,
    installed_models,
    target_options,
)
from utils.engine import memory
from utils.engine.calibration import costs_file, recall
from utils.errors import ModelFileError
from utils.llama.gguf_header import GGUFHeader, estimate_memory_bytes
from utils.llama.probe import kept_verdict, probe_folder
from utils.sizes import size

MAX_WIDTH = 17
LARGEST_SHARE = 0.5
LOOKUP_SPEEDUP = 1.1
# What a token more adds to a pass where nobody has measured it, in plain steps.
ASSUMED_GROWTH = 0.15
# A draft as large as its target would be right so often, and with each halving less by so much.
RATE_OF_EQUAL, LOSS_BY_HALVING = 0.89, 0.04
LEAST_RATE, LOSS_OF_STRANGER = 0.1, 0.15
TIMES = "\N{MULTIPLICATION SIGN}"

Verdict = Literal["usable", "unfit", "too large"]


@dataclass(frozen=True, slots=True)
class RankedDraft:
    """A draft and what is expected of it; `rank` 1 is the best, 0 is for what cannot be used.

    `speedup` over plain decoding is an estimate, its costs measured where `is_measured`.
    `needed_bytes` is the memory it takes with the target's context; too large is what would draft
    if there were more. `overlap` is what its vocabulary and the target's have in common, of the
    larger one. `was_tried`: its file was loaded once, and what came of it is known. `sentence` says
    why it stands where it does.
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
    drafts = [
        judge.look_at(option, models.get(option.name))
        for option in draft_options(settings, model.name)
    ]
    # The embedded pair was made for each other, whatever an estimate says.
    first = EMBEDDED if model.name == EMBEDDED else None
    drafts.sort(key=lambda draft: (not draft.is_usable, draft.name != first, -draft.speedup))
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


def expected_speedup(
    acceptance: float, draft_cost: float, pass_costs: Sequence[float] = ()
) -> float:
    """Return the speedup at the best draft length; 1 where none pays.

    The formula of Leviathan et al. (arXiv 2211.17192), with what a pass over 1, 2, 3... tokens
    really costs: `draft_cost`, of one drafted token, and `pass_costs` are in plain steps.
    """
    costs = pass_costs or [1 + ASSUMED_GROWTH * more for more in range(MAX_WIDTH)]
    best = tokens = survival = 1.0
    for length, cost in enumerate(costs[1:], start=1):
        survival *= acceptance
        tokens += survival
        best = max(best, tokens / (cost + length * draft_cost))
    return best


def usual_acceptance(target: GGUFHeader, draft: GGUFHeader, *, overlap: float = 1.0) -> float:
    """Return the share of drafted tokens that is usually kept of a draft so small.

    `overlap` is the share of the target's tokens that the draft has too.
    """
    halvings = max(0.0, log2(target.parameters / draft.parameters))
    rate = RATE_OF_EQUAL - LOSS_BY_HALVING * halvings
    if draft.architecture != target.architecture:
        rate -= LOSS_OF_STRANGER
    if overlap < 1:
        rate = (rate - LOSS_OF_STRANGER) * overlap
    return max(LEAST_RATE, rate)


@dataclass(frozen=True, slots=True)
class _Costs:
    """Seconds of a plain step, and what wider passes cost in such steps."""

    step_s: float
    passes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges drafts for one target; None stands for what nobody can tell."""

    target: GGUFHeader
    settings: Settings
    options: ModelOptions
    room_bytes: int | None
    costs: _Costs | None

    def look_at(self, option: DraftOption, model: InstalledModel | None) -> RankedDraft:
        draft = RankedDraft(
            option.name,
            option.label,
            "unfit",
            option.reason,
            overlap=option.overlap if option.compatible else 0.0,
            warning=option.warning,
        )
        if not option.compatible:
            return draft
        if option.name == LOOKUP:
            sentence = "takes no memory, and pays where the text repeats what stood before"
            return replace(draft, verdict="usable", speedup=LOOKUP_SPEEDUP, sentence=sentence)
        if model is None or model.header is None:
            return replace(draft, sentence="its file is gone")
        verdict = kept_verdict(model.path, probe_folder(self.settings))
        draft = replace(draft, was_tried=verdict is not None or model.name == EMBEDDED)
        if verdict is not None and not verdict.usable:
            return replace(draft, sentence=model.called_by_name(verdict.reason))
        return self._fitted(self._estimated(draft, option, model, model.header))

    def _estimated(
        self,
        draft: RankedDraft,
        option: DraftOption,
        model: InstalledModel,
        header: GGUFHeader,
    ) -> RankedDraft:
        share = header.size_bytes / self.target.size_bytes
        own = _recall_costs(model, self.settings)
        is_measured = own is not None and self.costs is not None
        # Unmeasured, a token takes as long as its weights take to be read.
        cost = own.step_s / self.costs.step_s if own and self.costs else share
        acceptance = usual_acceptance(self.target, header, overlap=option.overlap)
        speedup = expected_speedup(acceptance, cost, self.costs.passes if self.costs else ())
        needed_bytes = estimate_memory_bytes(
            header, self.options.context_tokens, self.options.cache_type
        )
        if share > LARGEST_SHARE:
            speedup = 1.0
            sentence = (
                f"over half the size of the target, takes about {size(needed_bytes)}: it would "
                "cost more than it saves"
            )
        else:
            basis = "by what was measured" if is_measured else "a rough estimate"
            sentence = (
                f"1/{1 / share:.0f} of the target's size, takes about {size(needed_bytes)}; "
                f"some {speedup:.1f}{TIMES} plain, {basis}"
            )
        return replace(
            draft,
            verdict="usable",
            speedup=speedup,
            is_measured=is_measured,
            needed_bytes=needed_bytes,
            sentence="; ".join(filter(None, (sentence, option.warning))),
        )

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
    room_bytes = None if has_gpu and options.gpu_layers != 0 else memory.available_bytes()
    if room_bytes is not None and not is_loaded:
        room_bytes -= estimate_memory_bytes(
            model.header, options.context_tokens, options.cache_type
        )
    costs = _recall_costs(model, settings)
    return _Judge(model.header, settings, options, room_bytes, costs)


def _recall_costs(model: InstalledModel, settings: Settings) -> _Costs | None:
    """Return what was measured when the model was loaded as a target, if it ever was."""
    passes = recall(costs_file(model.path, target_options(model, settings), settings))
    if passes is None:
        return None
    table = CostTable(passes, max_width=MAX_WIDTH)
    step_s = table.seconds(1)
    widths = (table.padded_width(width, MAX_WIDTH) for width in range(1, MAX_WIDTH + 1))
    return _Costs(step_s, tuple(table.seconds(width) / step_s for width in widths))
