"""Counting cores in made-up machines."""

from __future__ import annotations

import os

import pytest

from utils.llama.threads import physical_cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Build a machine from the sibling lists of its CPUs and a quota."""

    def build(siblings: list[str | None], quota: str | None = None):
        cpus = set(range(len(siblings)))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: cpus, raising=False)
        for cpu, text in enumerate(siblings):
            if text is not None:
                folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
                folder.mkdir(parents=True)
                (folder / "thread_siblings_list").write_text(text + "\n")
        if quota is not None:
            (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
            (tmp_path / "sys/fs/cgroup/cpu.max").write_text(quota)
        return tmp_path

    return build


@pytest.mark.parametrize(
    ("siblings", "quota", "cores"),
    [
        (["0,2", "1,3", "0,2", "1,3"], None, 2),
        (["0", "1"], None, 2),
        ([None, None, None], None, 3),
        (["0-1", "0-1"], None, 1),
        (["0", "1", "2", "3"], "150000 100000", 2),
        (["0", "1"], "max 100000", 2),
        (["0", "1"], "garbage", 2),
        (["0", "1"], "0 100000", 2),
    ],
)
def test_cores_are_counted_once_and_within_the_quota(machine, siblings, quota, cores):
    assert physical_cores(machine(siblings, quota)) == cores


def test_without_affinity_every_cpu_counts(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert physical_cores(tmp_path) == 6


def test_this_machine_has_a_core():
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)
