"""The drafters of an engine: draft models opened when first asked for, the newest two kept.

What is learnt of somebody's texts, and the texts themselves, are kept apart by owner.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from config import LOOKUP, ModelOptions, SpeculativeConfig
from utils.cost_table import CostTable
from utils.draft_pairs import PairCheck, check_pair
from utils.drafters.fitting import MakeDrafter, fit_drafter
from utils.drafters.lookup import LookupDrafter
from utils.drafters.portfolio import Portfolio
from utils.drafters.protocol import Drafter, SteeredDrafter
from utils.drafters.record import DraftingRecord
from utils.engine.draft_times import time_tokens, token_time_file
from utils.engine.figures import DraftFigures, describe_drafts
from utils.engine.memory import fits, require_memory
from utils.engine.protocol import DraftChoice
from utils.errors import DraftError, ModelError
from utils.llama.chat_prompt import encode_continued
from utils.llama.gguf_header import read_header
from utils.llama.model import LlamaModel
from utils.model_session import DecodeAborted, ModelInfo

OPEN_DRAFTS = 2
OWNERS = 16
MAX_DRAFT_TOKENS = 16
REMEMBERED_TOKENS = 8192
# A token takes some 435 bytes. The texts of whoever is answered are kept even if they are longer.
MOST_LOOKED_UP_TOKENS = 128 * 1024
ShouldStop = Callable[[], bool]


def _make_lookup() -> LookupDrafter:
    return LookupDrafter(remembered_tokens=REMEMBERED_TOKENS)


@dataclass(slots=True)
class _Owner:
    """What is kept of one owner: a lookup over the newest texts, and a record for each draft."""

    lookup: LookupDrafter = field(default_factory=_make_lookup)
    records: dict[str, DraftingRecord] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """An open draft model, what a token of it takes, how it drafts, and what to know of that."""

    model: LlamaModel
    token_s: float
    make_drafter: MakeDrafter
    note: str


class DraftShelf:
    """Drafters for one target.

    Raises `DraftError` with the reason where there can be none, and `DecodeAborted` where stopped
    while a draft is opened.
    """

    def __init__(
        self, target: LlamaModel, options: ModelOptions, *, costs_folder: Path | None = None
    ) -> None:
        """What a token of each draft takes is kept in `costs_folder`, if there is one."""
        self._target = target
        self._options = options
        self._costs_folder = costs_folder
        self._owners: OrderedDict[str, _Owner] = OrderedDict()
        self._models: OrderedDict[Path, _Open] = OrderedDict()

    @property
    def open_models(self) -> tuple[ModelInfo, ...]:
        """The draft models that are open, the one used last first."""
        return tuple(opened.model.info for opened in reversed(self._models.values()))

    @property
    def figures(self) -> tuple[DraftFigures, ...]:
        """What is known of the drafts of whoever was answered last."""
        owner = next(reversed(self._owners.values()), None)
        return describe_drafts(owner.records, self._most_drafted) if owner else ()

    def take(
        self,
        choice: DraftChoice,
        owner: str,
        speculative: SpeculativeConfig,
        should_stop: ShouldStop,
    ) -> Drafter:
        """Return the drafter of `choice`, opened if need be."""
        self._require_rollback()
        if choice.kind == "lookup":
            return self._lookup(self._owner(owner), speculative)
        return self._model_drafter(choice, should_stop)

    def portfolio(
        self,
        choice: DraftChoice,
        owner: str,
        costs: CostTable,
        speculative: SpeculativeConfig,
        should_stop: ShouldStop,
    ) -> Portfolio:
        """Return all that can draft where `choice` is the draft: it, if a model, and lookup.

        A model that cannot be had leaves lookup, with the reason, where a fallback is allowed.
        """
        self._require_rollback()
        model, problem = None, choice.problem
        if choice.kind == "model":
            try:
                model = self._model_drafter(choice, should_stop)
            except DraftError as error:
                if not speculative.fallback_enabled:
                    raise
                problem = str(error)
        kept = self._owner(owner)
        name = choice.name if model is not None else LOOKUP
        opened = self._models[Path(choice.path)] if model and choice.path else None
        if name not in kept.records:
            token_s = opened.token_s if opened else None
            kept.records[name] = DraftingRecord(costs, draft_token_s=token_s)
        return Portfolio(
            model,
            self._lookup(kept, speculative),
            kept.records[name],
            max_draft_tokens=self._most_drafted,
            fallback_enabled=speculative.fallback_enabled,
            problem=problem,
            note=opened.note if opened else "",
        )

    def within_reach(self, speculative: SpeculativeConfig) -> SpeculativeConfig:
        """Return the configuration with drafts no longer than the target can take back."""
        longest = min(speculative.max_draft_tokens, max(1, self._most_drafted))
        return speculative.model_copy(update={"max_draft_tokens": longest})

    def obey(self, should_stop: ShouldStop) -> None:
        """Let this tell the open models when to stop."""
        for opened in self._models.values():
            opened.model.session.should_stop = should_stop

    def clear_caches(self) -> None:
        """Forget all text, so that nothing doubtful is reused."""
        self._owners.clear()
        for opened in self._models.values():
            opened.model.session.clear()

    def close(self) -> None:
        """Close all draft models; those asked for later are opened again."""
        while self._models:
            self._models.popitem()[1].model.close()

    @property
    def _most_drafted(self) -> int:
        return min(MAX_DRAFT_TOKENS, self._target.returnable_tokens)

    def _require_rollback(self) -> None:
        if not self._target.can_rollback:
            raise DraftError("the target cannot take tokens back: it is a recurrent model")

    def _owner(self, owner: str) -> _Owner:
        kept = self._owners.setdefault(owner, _Owner())
        self._owners.move_to_end(owner)
        while len(self._owners) > OWNERS:
            self._owners.popitem(last=False)
        self._forget_texts()
        return kept

    def _forget_texts(self) -> None:
        """Forget texts of owners but the newest, first of the one unused longest, if they are many.

        What was learnt with them stays: it takes next to nothing.
        """
        held = sum(owner.lookup.indexed_tokens for owner in self._owners.values())
        for owner in list(self._owners.values())[:-1]:
            if held <= MOST_LOOKED_UP_TOKENS:
                break
            held -= owner.lookup.indexed_tokens
            owner.lookup = _make_lookup()

    def _lookup(self, kept: _Owner, speculative: SpeculativeConfig) -> LookupDrafter:
        if not speculative.lookup_earlier:
            kept.lookup.forget_earlier()
        return kept.lookup

    def _model_drafter(self, choice: DraftChoice, should_stop: ShouldStop) -> SteeredDrafter:
        if choice.path is None:
            raise DraftError(choice.problem)
        path = Path(choice.path)
        opened = self._models.get(path) or self._open(path, choice.name, should_stop)
        self._models[path] = opened
        self._models.move_to_end(path)
        opened.model.session.should_stop = should_stop
        return opened.make_drafter(choice.name)

    def _open(self, path: Path, name: str, should_stop: ShouldStop) -> _Open:
        try:
            header = read_header(path)
            check = check_pair(self._target.header, header)
            if not check.compatible:
                raise DraftError(check.reason)
            while self._models and (
                len(self._models) >= OPEN_DRAFTS or fits(header, self._options) is False
            ):
                self._models.popitem(last=False)[1].model.close()
            require_memory(header, self._options)
            model = LlamaModel.open(
                path, self._options, on_progress=lambda _share: not should_stop()
            )
            return self._prepare(model, path, check)
        except ModelError as error:
            if should_stop():
                raise DecodeAborted from error
            raise DraftError(f"draft {name!r} cannot be used: {error}") from error
        except MemoryError as error:
            raise DraftError(f"draft {name!r} does not fit in memory") from error

    def _prepare(self, model: LlamaModel, path: Path, check: PairCheck) -> _Open:
        """Return an open draft with all that drafting takes; closed again where that fails."""
        try:
            if not model.can_rollback:
                raise DraftError("it cannot take tokens back: it is a recurrent model")
            make_drafter = fit_models(self._target, model, check)
            return _Open(model, self._time_tokens(model, path), make_drafter, check.note)
        except BaseException:
            model.close()
            raise

    def _time_tokens(self, model: LlamaModel, path: Path) -> float:
        folder, target = self._costs_folder, self._target.session
        kept = token_time_file(path, self._options, folder) if folder else None
        return time_tokens(model, kept, is_quiet=lambda: target.has_all_threads)


def fit_models(target: LlamaModel, draft: LlamaModel, check: PairCheck) -> MakeDrafter:
    """Return what makes drafters of a draft model that suits the target."""
    return fit_drafter(
        check.fit,
        draft.session,
        draft.vocabulary,
        target.vocabulary,
        encode_draft=partial(encode_continued, draft.vocabulary),
        encode_target=partial(encode_continued, target.vocabulary),
    )
