"""Try a model file in a process of its own: what kills that process cannot kill ours.

`python -m utils.llama.probe PATH` loads the file, decodes two tokens and prints one JSON line.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from signal import Signals
from typing import Any

from config import ROOT, ModelOptions, Settings
from utils.errors import ModelFileError, SpecChatError
from utils.llama.build import installed_build
from utils.llama.gguf_header import estimate_memory_bytes, read_header
from utils.llama.threads import physical_cores

# Room for as many snapshots of a recurrent model as are ever kept.
PROBE_CONTEXT, PROBE_BATCH = 64, 32
# Raised when models are opened in another way: what was found out about them before is void.
_WAY_OF_OPENING = 2
_SPARE_ADDRESS_BYTES = 8 * 2**30
_LIMIT_OPTION = "--address-space-bytes="
# A blob that is named by its own digest is the same wherever it lies, and whenever it came.
_BLOB = re.compile(r"sha256-[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProbeVerdict:
    """Whether llama.cpp can use a file; if not, why, in one sentence."""

    usable: bool
    reason: str = ""


def probe_model(
    path: Path, *, timeout_s: float = 60.0, cache_folder: Path | None = None
) -> ProbeVerdict:
    """Try the file at `path` in a child process, or recall what came of it last time.

    Verdicts are kept in `cache_folder`, and hold while the file and llama.cpp stay the same.
    Running out of time is not kept. Raises nothing for a bad file.
    """
    if cache_folder is not None and (known := kept_verdict(path, cache_folder)) is not None:
        return known
    try:
        header = read_header(path)
    except ModelFileError as error:
        return ProbeVerdict(usable=False, reason=str(error))
    limit = 2 * estimate_memory_bytes(header, PROBE_CONTEXT) + _SPARE_ADDRESS_BYTES
    command = [sys.executable, "-m", __name__, f"{_LIMIT_OPTION}{limit}", str(path)]
    try:
        child = subprocess.run(  # noqa: S603 - our own module; the path is one argument
            command,
            cwd=ROOT,
            env=_environment(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"model did not load and answer within {timeout_s:g} s: {path.name!r}"
        return ProbeVerdict(usable=False, reason=reason)
    verdict = _judge(path, child)
    if cache_folder is not None:
        _remember(entry_of(path, cache_folder), verdict)
    return verdict


def probe_folder(settings: Settings) -> Path:
    """Return where the app keeps its verdicts."""
    return settings.cache_folder / "probes"


def kept_verdict(path: Path, cache_folder: Path) -> ProbeVerdict | None:
    """Return what came of the last trial of the file, or None where it has not been tried."""
    with suppress(OSError, ValueError, TypeError):
        text = entry_of(path, cache_folder).read_text(encoding="utf-8")
        return ProbeVerdict(**json.loads(text))
    return None


def _judge(path: Path, child: subprocess.CompletedProcess[bytes]) -> ProbeVerdict:
    if child.returncode < 0:
        with suppress(ValueError):
            name = Signals(-child.returncode).name
            reason = f"model is unsafe: llama.cpp dies of {name} on it: {path.name!r}"
            return ProbeVerdict(usable=False, reason=reason)
    with suppress(ValueError, IndexError, TypeError):
        return ProbeVerdict(**json.loads(child.stdout.splitlines()[-1]))
    reason = f"model could not be tried: exit status {child.returncode}: {path.name!r}"
    return ProbeVerdict(usable=False, reason=reason)


def entry_of(path: Path, cache_folder: Path, *also: Any) -> Path:
    """Return where something is kept that holds while a file and llama.cpp stay the same.

    `also` is what else it depends on.
    """
    resolved = path.resolve()
    facts: tuple[Any, ...] = ()
    with suppress(OSError):
        status = resolved.stat()
        facts = (status.st_size, status.st_mtime_ns)
    if _BLOB.fullmatch(resolved.name):
        known = [resolved.name, *facts[:1]]
    else:
        known = [str(resolved), *facts]
    text = json.dumps([*known, *installed_build(), _WAY_OF_OPENING, *also])
    return cache_folder / f"{sha256(text.encode()).hexdigest()}.json"


def timed_entry_of(path: Path, cache_folder: Path, options: ModelOptions, *also: Any) -> Path:
    """Return where something is kept that depends on how a file is opened, and on the threads too.

    Where the options leave open how many, they are as many as the cores that may be used.
    """
    return entry_of(path, cache_folder, options.model_dump(), physical_cores(), *also)


def _remember(entry: Path, verdict: ProbeVerdict) -> None:
    # A verdict that cannot be kept is found again next time: no reason to fail.
    with suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=entry.parent, suffix=".part", delete=False, encoding="utf-8"
        ) as part:
            json.dump(asdict(verdict), part)
        Path(part.name).replace(entry)


def _environment() -> dict[str, str]:
    # Without it a dying ggml starts a debugger on itself.
    return {**os.environ, "GGML_NO_BACKTRACE": "1"}


def _limit_resources(address_space_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        from utils.llama.library import has_gpu

        # GPU drivers reserve far more addresses than memory.
        if not has_gpu():
            resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes,) * 2)


def try_model(path: Path) -> ProbeVerdict:
    """Load the file, which tries out going back, and decode two tokens in this process."""
    from utils.llama.model import LlamaModel

    options = ModelOptions(context_tokens=PROBE_CONTEXT, batch_tokens=PROBE_BATCH)
    try:
        with LlamaModel.open(path, options, max_rows=2) as model:
            logits = model.session.decode([0, min(1, model.vocabulary.size - 1)], rows=2)
            if not all(math.isfinite(value) for value in (logits.min(), logits.max())):
                return ProbeVerdict(
                    usable=False, reason=f"model computes invalid numbers: {path.name!r}"
                )
    except SpecChatError as error:
        return ProbeVerdict(usable=False, reason=str(error))
    return ProbeVerdict(usable=True)


def main(arguments: list[str]) -> int:
    """Run the child."""
    *options, path = arguments
    for option in options:
        _limit_resources(int(option.removeprefix(_LIMIT_OPTION)))
    sys.stdout.write(json.dumps(asdict(try_model(Path(path)))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
