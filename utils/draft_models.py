"""Models that are installed, and which of them can draft for which: files only, nothing loaded.

Names come from outside (pages, HTTP): they are looked up among what was found, never joined to a
path, and what was found lies in a configured folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from weakref import WeakValueDictionary

from config import EMBEDDED, LOOKUP, OWN_NAMES, ROOT, ModelOptions, Settings
from utils.backends.modelfile import Modelfile, model_defaults
from utils.draft_pairs import check_pair, recurrent
from utils.errors import ModelFileError, UnknownModelError
from utils.llama.gguf_header import GGUFHeader, VocabularyHeader, read_header
from utils.model_names import is_file_name, name_files
from utils.model_store import ModelStore
from utils.sizes import size
from utils.vocabulary_map import Fit

EMBEDDED_TARGET = ROOT / "models" / "demo-target.gguf"
EMBEDDED_DRAFT = ROOT / "models" / "demo-draft.gguf"
MIN_CONTEXT, MAX_CONTEXT = 64, 1_048_576
_vocabularies: WeakValueDictionary[int, VocabularyHeader] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model file by name; without a header it cannot be used, for the reason given.

    `modelfile` is what Ollama adds to a model of its own.
    """

    name: str
    path: Path
    header: GGUFHeader | None
    reason: str = ""
    modelfile: Modelfile | None = None

    def called_by_name(self, reason: str) -> str:
        """Return a reason with the model's name in place of its file's, which may be a digest."""
        return reason.replace(repr(self.path.name), repr(self.name))


@dataclass(frozen=True, slots=True)
class DraftOption:
    """A draft as the selector shows it; 0 bytes: it needs no model.

    `overlap` is what its vocabulary and the target's have in common, `fit` how it drafts for it;
    `warning` tells if that is little.
    """

    name: str
    label: str
    compatible: bool
    reason: str
    size_bytes: int
    overlap: float = 1.0
    fit: Fit = "same"
    warning: str = ""


def find_models(folders: Sequence[Path]) -> list[InstalledModel]:
    """Return the embedded target, then every GGUF directly in the folders, by folder and name."""
    models = [_inspect(EMBEDDED, EMBEDDED_TARGET, EMBEDDED_TARGET.parent)]
    for name, path, folder in name_files(folders, OWN_NAMES):
        models.append(_inspect(name, path, folder))
    return models


def find_stored_models(settings: Settings) -> list[InstalledModel]:
    """Return the models of Ollama whose files are on this machine, by name."""
    store, models = ModelStore(settings), []
    for name in store.names():
        try:
            stored = store.find(name)
            model = _inspect(name, stored.path, stored.path.parent)
            reason = replace(model, path=stored.path).called_by_name(model.reason)
            models.append(replace(model, modelfile=stored.modelfile, reason=reason))
        except (ModelFileError, UnknownModelError) as error:
            models.append(InstalledModel(name, Path(), None, str(error), Modelfile()))
    return models


def installed_models(settings: Settings) -> list[InstalledModel]:
    """Return all models there are: embedded, in the folders, and Ollama's."""
    return [*find_models(settings.model_folders), *find_stored_models(settings)]


def find_embedded_draft() -> InstalledModel:
    """Return the draft that comes with the app."""
    return _inspect(EMBEDDED, EMBEDDED_DRAFT, EMBEDDED_DRAFT.parent)


def find_target(name: str, settings: Settings) -> InstalledModel:
    """Return the target called `name`, with its header.

    Raises `UnknownModelError`, or `ModelFileError` where the file is there but not sound.
    """
    model = find_installed(name, installed_models(settings))
    return replace(model, header=_usable(model))


def resolve_target(name: str, settings: Settings) -> Path:
    """Return the file of the target called `name`; raises as `find_target`."""
    return find_target(name, settings).path


def target_options(target: InstalledModel, settings: Settings) -> ModelOptions:
    """Return how a target is opened: with its Modelfile's context, where the user names none."""
    options = settings.model_options
    if target.modelfile is None or "context_tokens" in settings.model_fields_set:
        return options
    wanted = model_defaults(target.modelfile, settings.sampling).context_tokens
    sound = min(max(wanted or options.context_tokens, MIN_CONTEXT), MAX_CONTEXT)
    return options.model_copy(update={"context_tokens": sound})


def resolve_draft(name: str, settings: Settings) -> Path:
    """Return the file of the draft model called `name`; whether it suits, `check_pair` tells.

    Raises `UnknownModelError`, or `ModelFileError` where the file is there but not sound.
    """
    if name == EMBEDDED:
        return _usable(find_embedded_draft()).path
    return _usable(find_installed(name, installed_models(settings))).path


def draft_options(settings: Settings, target: str) -> list[DraftOption]:
    """Return what can draft for the target of that name: embedded, lookup, each smaller GGUF.

    Smaller is the same model in fewer bits, too. Those that do not suit the target are listed with
    the reason. Raises as `resolve_target`.
    """
    models = installed_models(settings)
    header = _usable(find_installed(target, models))
    smaller = [
        model
        for model in models[1:]
        if model.header is None or _weight(model.header) < _weight(header)
    ]
    embedded, *others = (_option(model, header) for model in [find_embedded_draft(), *smaller])
    return [embedded, _lookup_option(header), *others]


def _weight(header: GGUFHeader) -> tuple[int, int]:
    return header.parameters, header.size_bytes


def _lookup_option(target: GGUFHeader) -> DraftOption:
    reason = recurrent(target, "target")
    return DraftOption(
        name=LOOKUP,
        label="Lookup in the text so far (no model)",
        compatible=not reason,
        reason=reason,
        size_bytes=0,
    )


def _option(model: InstalledModel, target: GGUFHeader) -> DraftOption:
    header = model.header
    if header is None:
        return DraftOption(
            name=model.name, label=model.name, compatible=False, reason=model.reason, size_bytes=0
        )
    check = check_pair(target, header)
    return DraftOption(
        name=model.name,
        label=_label(model, header, check.note),
        compatible=check.compatible,
        reason=check.reason,
        size_bytes=header.size_bytes,
        overlap=check.overlap,
        fit=check.fit,
        warning=check.warning,
    )


def _label(model: InstalledModel, header: GGUFHeader, note: str) -> str:
    if model.name == EMBEDDED:
        return f"Embedded draft ({note})" if note else "Embedded draft"
    facts = [header.quantization, size(header.size_bytes), note]
    return f"{model.name} ({', '.join(filter(None, facts))})"


def find_installed(name: str, models: Sequence[InstalledModel]) -> InstalledModel:
    """Return the model called `name`, or raise `UnknownModelError`."""
    for model in models:
        if name in (model.name, model.name.removesuffix(":latest")):
            return model
    shown = name if len(name) <= 80 else f"{name[:80]}…"
    is_file = is_file_name(name)
    alike = Path(name).stem if is_file else name
    near = get_close_matches(alike[:80], [model.name for model in models], n=3)
    if near:
        hint = f"did you mean {', '.join(map(repr, near))}?"
    elif is_file:
        hint = "put the file in a folder that SPECCHAT_MODEL_FOLDERS names, and start again"
    else:
        hint = f"take {EMBEDDED!r}, the name of a GGUF in a model folder, or of a model in Ollama"
    raise UnknownModelError(f"no model is called {shown!r}: {hint}")


def _usable(model: InstalledModel) -> GGUFHeader:
    if model.header is None:
        raise ModelFileError(model.reason)
    return model.header


def _inspect(name: str, path: Path, folder: Path) -> InstalledModel:
    try:
        resolved = path.resolve(strict=True)
        if not resolved.is_relative_to(folder.resolve()):
            return InstalledModel(name, path, None, f"model file links out of its folder: {name!r}")
        status = resolved.stat()
        header = _read(resolved, status.st_size, status.st_mtime_ns)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return InstalledModel(name, path, None, f"model file cannot be opened: {reason}: {name!r}")
    except ModelFileError as error:
        return InstalledModel(name, path, None, str(error))
    return InstalledModel(name, resolved, header)


@lru_cache(maxsize=1024)
def _read(path: Path, _size_bytes: int, _mtime_ns: int) -> GGUFHeader:
    header = read_header(path)
    vocabulary = header.vocabulary
    # Models of one family have one vocabulary, of many megabytes: keep it once.
    shared = _vocabularies.setdefault(hash(vocabulary), vocabulary)
    return replace(header, vocabulary=shared) if shared == vocabulary else header
