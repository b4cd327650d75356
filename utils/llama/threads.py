"""How many threads decode best: one per physical core this process may run on."""

from __future__ import annotations

import os
from functools import cache
from math import ceil
from pathlib import Path

_TOPOLOGY = "sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
_QUOTA = "sys/fs/cgroup/cpu.max"


def physical_cores(root: Path = Path("/")) -> int:
    """Count the physical cores, within CPU affinity and container quota.

    Where the system does not say which CPUs share a core, each CPU counts. `root` holds `sys`.
    """
    cpus = sorted(_usable_cpus())
    cores = {_core(cpu, root) for cpu in cpus}
    return max(1, min(len(cores), _quota(root) or len(cores)))


def _usable_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


@cache
def _core(cpu: int, root: Path) -> str:
    try:
        return (root / _TOPOLOGY.format(cpu=cpu)).read_text().strip()
    except OSError:
        return f"cpu{cpu}"


def _quota(root: Path) -> int | None:
    try:
        quota, period = (root / _QUOTA).read_text().split()
        return ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
