"""The drafters of an engine: draft models opened when first asked for, the newest two kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from config import ModelOptions
from utils.draft_models import check_pair
from utils.drafters.lookup import LookupDrafter
from utils.drafters.model_drafter import ModelDrafter
from utils.drafters.protocol import Drafter
from utils.engine.memory import require_memory
from utils.engine.protocol import DraftChoice
from utils.errors import DraftError, ModelError
from utils.llama.gguf_header import read_header
from utils.llama.model import LlamaModel
from utils.model_session import ModelInfo

OPEN_DRAFTS = 2


class DraftShelf:
    """Drafters for one target; raises `DraftError` with the reason where there can be none."""

    def __init__(self, target: LlamaModel, options: ModelOptions) -> None:
        self._target = target
        self._options = options
        self._lookup = LookupDrafter()
        self._models: OrderedDict[Path, LlamaModel] = OrderedDict()

    @property
    def newest(self) -> ModelInfo | None:
        """The draft model used last, if one is open."""
        return next((model.info for model in reversed(self._models.values())), None)

    def take(self, choice: DraftChoice, should_stop: Callable[[], bool]) -> Drafter:
        """Return the drafter of `choice`, opened if need be."""
        if not self._target.can_rollback:
            raise DraftError("the target cannot take tokens back: it is a recurrent model")
        if choice.kind == "lookup":
            return self._lookup
        if choice.path is None:
            raise DraftError(choice.problem)
        path = Path(choice.path)
        model = self._models.get(path) or self._open(path, choice.name, should_stop)
        self._models[path] = model
        self._models.move_to_end(path)
        model.session.should_stop = should_stop
        size = self._target.vocabulary.size
        return ModelDrafter(choice.name, model.session, vocabulary_size=size)

    def clear_caches(self) -> None:
        """Forget all text, so that nothing doubtful is reused."""
        self._lookup = LookupDrafter()
        for model in self._models.values():
            model.session.clear()

    def close(self) -> None:
        """Close all draft models."""
        while self._models:
            self._models.popitem()[1].close()

    def _open(self, path: Path, name: str, should_stop: Callable[[], bool]) -> LlamaModel:
        try:
            header = read_header(path)
            check = check_pair(self._target.header, header)
            if not check.compatible:
                raise DraftError(check.reason)
            while len(self._models) >= OPEN_DRAFTS:
                self._models.popitem(last=False)[1].close()
            require_memory(header, self._options)
            model = LlamaModel.open(
                path, self._options, on_progress=lambda _share: not should_stop()
            )
        except ModelError as error:
            raise DraftError(f"draft {name!r} cannot be used: {error}") from error
        except MemoryError as error:
            raise DraftError(f"draft {name!r} does not fit in memory") from error
        if model.can_rollback:
            return model
        model.close()
        raise DraftError(f"draft {name!r} cannot take tokens back: it is a recurrent model")
