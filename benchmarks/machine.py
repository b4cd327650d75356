"""The conditions of a measurement: processor, build, load."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import Any

from utils.llama.library import has_gpu, library_version, native
from utils.llama.threads import physical_cores

QUIET_CORES = 0.3
WATCHED_S = 2.0
STATISTICS = Path("/proc/stat")
# Part of the name of the library that computes on a GPU, beside that of llama.cpp.
BACKENDS = ("cuda", "hip", "metal", "vulkan")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when; `load_average` is that of the minute before."""

    processor: str
    physical_cores: int
    system: str
    python: str
    llama_cpp_python: str
    gpu_build: bool
    date: str
    load_average: float
    gpu_backend: str = ""

    @property
    def computes_on(self) -> str:
        """What the models of a run are computed on."""
        return f"a GPU ({self.gpu_backend})" if self.gpu_backend else "the processor"

    def as_dict(self) -> dict[str, Any]:
        """Return the facts for JSON."""
        return asdict(self)


def describe_machine() -> Machine:
    """Return the facts of this machine, now."""
    return Machine(
        processor=_processor(),
        physical_cores=physical_cores(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        llama_cpp_python=library_version(),
        gpu_build=has_gpu(),
        date=datetime.now(UTC).date().isoformat(),
        load_average=round(os.getloadavg()[0], 2),
        gpu_backend=gpu_backend(),
    )


def gpu_backend() -> str:
    """Return what llama.cpp computes with on this machine's GPU; empty: on the processor."""
    if not has_gpu():
        return ""
    return next((name for name in BACKENDS if _libraries(name)), UNKNOWN)


def _libraries(backend: str) -> list[Path]:
    """Return the libraries of a backend among those that the binding loads."""
    return list(Path(native._base_path).glob(f"*ggml-{backend}.*"))


def watch_load(watched_s: float = WATCHED_S) -> float | None:
    """Return how many cores others keep busy at present; None where nobody can tell."""
    watch = LoadWatch()
    sleep(watched_s)
    return watch.others()


def load_warning(others: float | None) -> str:
    """Say why the figures may be worth little, if so."""
    if others is None or others <= QUIET_CORES:
        return ""
    return (
        f"the machine is busy: others keep {others:.1f} cores at work, more than {QUIET_CORES}; "
        "another process can make decoding a hundred times slower"
    )


class LoadWatch:
    """Tells how many cores others kept busy since it was made; None where nobody can tell.

    What this process started counts as its own once it has ended.
    """

    def __init__(self) -> None:
        self._begin = _clocks()

    def others(self) -> float | None:
        """Return the mean number of cores; what a hypervisor took away counts too."""
        end = _clocks()
        if self._begin is None or end is None:
            return None
        elapsed_s, busy_s, own_s = (now - then for now, then in zip(end, self._begin, strict=True))
        return max(0.0, (busy_s - own_s) / elapsed_s) if elapsed_s > 0 else 0.0


def _clocks() -> tuple[float, float, float] | None:
    """Return seconds: of the clock, busy ones of all cores, and those of this process."""
    try:
        line = STATISTICS.read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = map(int, line.split()[1:9])
    busy_s = (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")
    times = os.times()
    own_s = times.user + times.system + times.children_user + times.children_system
    return times.elapsed, busy_s, own_s


def _processor() -> str:
    """Return the processor's name, as Linux or macOS tell it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()
