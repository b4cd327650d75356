"""Models in words: what lists call them, where they run and why, and what is done to them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config import EMBEDDED, Settings
from utils.backends.ollama_records import RunningModel
from utils.chat.snapshots import JobSnapshot
from utils.chat.targets import Loading, Target, drafts_with, holds
from utils.chat.wording import Badge, sentence, size_share, text_only_sentence
from utils.engine.health import EngineHealth
from utils.model_catalogue import Catalogue, CatalogueEntry
from utils.pulls import PullSnapshot
from utils.sizes import size

SOURCES = {"embedded": "comes with SpecChat", "folder": "in a model folder", "ollama": "Ollama's"}
ABILITIES = {
    "tools": "tools",
    "vision": "images",
    "thinking": "thinks first",
    "embedding": "embeddings",
    "insert": "fills gaps",
}
SAMPLING_WORDS = {
    "temperature": "temperature",
    "top_k": "top-k",
    "top_p": "top-p",
    "min_p": "min-p",
    "repetition_penalty": "repetition penalty",
    "penalty_window": "penalty window",
    "presence_penalty": "presence penalty",
    "frequency_penalty": "frequency penalty",
    "seed": "seed",
    "max_tokens": "longest answer",
}
# Ollama's "for ever" is a date in a century or two.
FOR_EVER = timedelta(days=365)


def model_name(entry: CatalogueEntry) -> str:
    """Return what a model is called."""
    return "Embedded target" if entry.name == EMBEDDED else entry.name


def model_label(entry: CatalogueEntry) -> str:
    """Return a model as a choice shows it: `llama3.2:3b · Q4_K_M · 2.0 GB`."""
    return _dots(
        model_name(entry),
        entry.quantization,
        size(entry.size_bytes) if entry.size_bytes else "",
    )


def target_sentences(target: Target, settings: Settings) -> str:
    """Say where the chosen model runs and why, what it brings along, and what is left out."""
    entry = target.entry
    if entry is None:
        gone = f"{target.name} is not among the models that are here now."
        return gone if target.is_gone else "Looking for models."
    said = [_place(target, entry), _brought_along(target, settings)]
    return " ".join(filter(None, [*said, text_only_sentence(entry.capabilities)]))


def _place(target: Target, entry: CatalogueEntry) -> str:
    if target.answers_in_ollama:
        if entry.fitness != "unusable":
            if target.ollama_problem:
                return sentence(f"you chose Ollama, but {target.ollama_problem}")
            return "Ollama answers, as you chose."
        ollama = f"Ollama could answer, but {target.ollama_problem}"
        answers = "Ollama answers" + ("" if target.is_of_ollama else f" with {target.deputy}")
        return sentence(
            f"cannot speculate: {entry.reason}; {ollama if target.ollama_problem else answers}"
        )
    if entry.fitness == "unusable":
        return sentence(f"cannot be used: {entry.reason}")
    if entry.fitness == "untried":
        return "Not tried in the engine yet: that happens when it is loaded."
    return "Runs in the engine of this app."


def _brought_along(target: Target, settings: Settings) -> str:
    if target.entry is None or (defaults := target.entry.defaults) is None:
        return ""
    ours, theirs = settings.sampling.model_dump(), target.sampling(settings).model_dump()
    brought = [
        f"{word} {theirs[name]:,}"
        for name, word in SAMPLING_WORDS.items()
        if theirs[name] != ours[name]
    ]
    if defaults.context_tokens and "context_tokens" not in settings.model_fields_set:
        brought.append(f"context {defaults.context_tokens:,}")
    if theirs["stop"] != ours["stop"]:
        brought.append(_counted(len(theirs["stop"]), "stop text"))
    if defaults.system.strip():
        brought.append("a system prompt")
    said = f"Its Modelfile sets {_listed(brought)}." if brought else ""
    ignored = f"Left out of it: {'; '.join(defaults.ignored)}." if defaults.ignored else ""
    return " ".join(filter(None, (said, ignored)))


def offer_sentence(running: RunningModel) -> str:
    """Say that a model that is to be loaded is in Ollama's memory already."""
    return f"{running.name} is in Ollama's memory too ({size(running.size_bytes)})."


def target_badge(
    target: Target,
    engine: EngineHealth,
    answer: JobSnapshot | None,
    loading: Loading,
    *,
    problem: str,
) -> Badge | None:
    """Say what is to be said of the chosen model; None where the engine's state says it all.

    `problem` is why nothing can be drafted for a target that the engine can use.
    """
    if answer is not None:
        return _writer_badge(answer)
    if target.is_gone:
        return Badge("No answers", f"{target.name} is not here: choose another model", "bad")
    if target.answers_in_ollama:
        return _ollama_badge(target)
    if target.entry is not None and target.entry.fitness == "unusable":
        return Badge("No answers", target.entry.reason, "bad")
    if not engine.live:
        return None
    if engine.state == "loading":
        return Badge("Loading", _stage(target.name, loading, engine), "busy")
    if target.entry is not None and not target.is_loaded(engine) and engine.ready:
        return _unloaded_badge(target, loading)
    if engine.ready and problem:
        return Badge("Standard", f"cannot speculate: {problem}", "quiet")
    return None


def _writer_badge(answer: JobSnapshot) -> Badge | None:
    if answer.mode is None or not answer.writer:
        return None
    return Badge("Standard", answer.reason or f"{answer.writer} answers", "quiet")


def _ollama_badge(target: Target) -> Badge:
    is_of_engine = target.entry is not None and target.entry.fitness != "unusable"
    if target.ollama_problem and is_of_engine:
        return Badge("Standard", f"the engine is to answer: {target.ollama_problem}", "quiet")
    if target.ollama_problem:
        return Badge("No answers", target.ollama_problem, "bad")
    why = "chosen for this model"
    if target.entry is not None and not is_of_engine:
        why = f"cannot speculate: {target.entry.reason}"
    writer = target.name if target.is_of_ollama else target.deputy
    return Badge("Standard", f"{writer} answers through Ollama; {why}", "quiet")


def _stage(name: str, loading: Loading, engine: EngineHealth) -> str:
    who = f"{name}: " if loading.is_running and loading.name == name else ""
    return f"{who}{stage_line(engine)}"


def stage_line(engine: EngineHealth) -> str:
    """Say what is being done while a target is loaded, and how far that is."""
    share = "" if engine.stage_share is None else f", {engine.stage_share:.0%}"
    return f"{engine.stage or 'a moment'}{share}"


def _unloaded_badge(target: Target, loading: Loading) -> Badge:
    if loading.name == target.name and loading.is_running:
        return Badge("Loading", f"{target.name} is about to be loaded", "busy")
    if loading.name == target.name and loading.error:
        return Badge("Not loaded", loading.error, "bad")
    return Badge("Not loaded yet", f"the next question loads {target.name}", "quiet")


def facts(entry: CatalogueEntry) -> str:
    """Return what a list says of a model, in one line."""
    return _dots(
        SOURCES[entry.source],
        entry.quantization,
        _size(entry),
        f"{entry.parameters} parameters" if entry.parameters not in ("", "0") else "",
        f"trained on {entry.trained_context:,} tokens" if entry.trained_context else "",
        *(word for key, word in ABILITIES.items() if key in entry.capabilities),
    )


def place(entry: CatalogueEntry, engine: EngineHealth) -> str:
    """Say in whose memory a model is."""
    where = ["in the engine"] if holds(engine, entry) else []
    if (running := entry.running) is not None:
        where.append(f"in Ollama's memory ({size(running.size_bytes)}, {_processor(running)})")
    if where:
        return sentence("loaded " + " and ".join(where))
    takes = f", takes about {size(entry.needed_bytes)} of memory" if entry.needed_bytes else ""
    return sentence(f"not loaded{takes}")


def speculation(entry: CatalogueEntry, trial_reason: str = "") -> str:
    """Say whether a model can be a target; `trial_reason` is why a trial told nothing."""
    if entry.fitness == "usable":
        return "Can speculate."
    if entry.fitness == "unusable":
        return sentence(f"cannot speculate: {entry.reason}")
    return sentence(trial_reason) if trial_reason else "Not tried yet whether it can speculate."


def in_memory(running: RunningModel, now: datetime) -> str:
    """Say how much of Ollama's memory a model takes, and how long it stays."""
    return _dots(
        f"{size(running.size_bytes)}, {_processor(running)}",
        f"context {running.context_tokens:,}" if running.context_tokens else "",
        _stay(running.expires_at, now),
    )


def _processor(running: RunningModel) -> str:
    if not running.gpu_bytes or not running.size_bytes:
        return "on the processor"
    share = min(1.0, running.gpu_bytes / running.size_bytes)
    return "all on the GPU" if share > 0.995 else f"{share:.0%} on the GPU"


def _stay(expires_at: datetime | None, now: datetime) -> str:
    if expires_at is None:
        return ""
    if expires_at.tzinfo is None:
        expires_at = expires_at.replace(tzinfo=UTC)
    left = expires_at - now
    if left > FOR_EVER:
        return "stays until it is unloaded"
    if left <= timedelta(0):
        return "leaves now"
    return f"leaves in {time_left(left.total_seconds())} unless asked"


def folder_name(folder: Path) -> str:
    """Return a folder as people write it, with `~` for their own."""
    with suppress(ValueError, RuntimeError):
        return str(Path("~") / folder.relative_to(Path.home()))
    return str(folder)


def pull_figures(pull: PullSnapshot) -> str:
    """Say how far a pull is: bytes, speed, time left; or what Ollama is doing."""
    if pull.state == "waiting":
        return "waits until another one has ended"
    if not pull.total_bytes:
        return pull.status or "asking for it"
    figures = [size_share(pull.done_bytes, pull.total_bytes)]
    if pull.state == "pulling" and pull.share >= 1:
        return _dots(*figures, pull.status)
    if pull.bytes_per_s:
        figures.append(f"{size(int(pull.bytes_per_s))}/s")
        figures.append(f"{time_left(pull.remaining_s or 0)} left")
    return _dots(*figures)


def time_left(seconds: float) -> str:
    """Return a time to wait, in the unit that reads best."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def ollama_badge(catalogue: Catalogue) -> Badge:
    """Say in a word or two whether Ollama answers, and what to do where it does not."""
    if not catalogue.read_at:
        return Badge("Ollama", "asking what it has", "busy")
    if catalogue.ollama_problem:
        return Badge("Ollama does not answer", sentence(catalogue.ollama_problem), "bad")
    return Badge(f"Ollama {catalogue.ollama_version}", "", "good")


def deletion_problem(
    entry: CatalogueEntry, engine: EngineHealth, answering: Collection[str], chosen: str
) -> str:
    """Say why a model may not be deleted now; empty where it may.

    `answering` are the models that write or draft answers, `chosen` the target of this session.
    """
    if not entry.is_in_ollama:
        return "only Ollama's models can be deleted here"
    if entry.name in answering:
        return f"{entry.name} is writing an answer: wait for its end, or stop it"
    if holds(engine, entry):
        return f"the engine has {entry.name} loaded: choose another model in the chat first"
    if drafts_with(engine, entry):
        why = f"the engine has {entry.name} open as a draft"
        return f"{why}: choose another model to answer in the chat first"
    if entry.name == chosen:
        return f"{entry.name} is the model of your chat: choose another one there first"
    return ""


def _size(entry: CatalogueEntry) -> str:
    return size(entry.size_bytes) if entry.size_bytes else ""


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _dots(*parts: str) -> str:
    return " · ".join(filter(None, parts))
