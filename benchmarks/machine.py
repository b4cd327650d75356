"""The conditions of a measurement: processor, build, load."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from utils.llama.library import has_gpu, library_version
from utils.llama.threads import physical_cores

QUIET_LOAD = 0.5


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
    )


def load_warning(machine: Machine) -> str:
    """Say why the figures may be worth little, if so."""
    if machine.load_average <= QUIET_LOAD:
        return ""
    return (
        f"the machine is busy: its load average is {machine.load_average}, over {QUIET_LOAD}; "
        "another process can make decoding a hundred times slower"
    )


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
