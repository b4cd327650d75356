"""How much memory is left, on a machine and in a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.engine import memory

MIB = 2**20


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 1000 MiB left, where containers have no limits."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {1000 * 1024} kB\n")
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    return tmp_path


def limit(machine: Path, limit: object, used: int, unused: int) -> None:
    (machine / "memory.max").write_text(f"{limit}\n")
    (machine / "memory.current").write_text(f"{used}\n")
    active = unused // 4
    files = f"inactive_file {unused - active}\nactive_file {active}\n"
    (machine / "memory.stat").write_text(f"anon 5\n{files}")


def test_without_a_container_it_is_what_the_system_has_left() -> None:
    assert memory.available_bytes() == 1000 * MIB


def test_in_a_container_it_is_what_its_limit_leaves(machine: Path) -> None:
    limit(machine, 500 * MIB, used=300 * MIB, unused=100 * MIB)
    assert memory.available_bytes() == 300 * MIB


def test_by_the_first_version_of_containers_too(machine: Path) -> None:
    (machine / "memory").mkdir()
    (machine / "memory" / "memory.limit_in_bytes").write_text(str(400 * MIB))
    (machine / "memory" / "memory.usage_in_bytes").write_text(str(300 * MIB))
    (machine / "memory" / "memory.stat").write_text("cache 1\n")
    assert memory.available_bytes() == 100 * MIB


def test_a_container_that_is_full_has_nothing_left(machine: Path) -> None:
    limit(machine, 500 * MIB, used=600 * MIB, unused=0)
    assert memory.available_bytes() == 0


@pytest.mark.parametrize("text", ["max", "9223372036854771712", "", "many"])
def test_a_limit_that_is_none_limits_nothing(machine: Path, text: str) -> None:
    limit(machine, text, used=300 * MIB, unused=0)
    assert memory.available_bytes() == 1000 * MIB


@pytest.mark.parametrize("text", ["", "MemAvailable:", "MemAvailable: much kB"])
def test_where_the_system_does_not_say_nobody_can_tell(machine: Path, text: str) -> None:
    (machine / "meminfo").write_text(text)
    limit(machine, 500 * MIB, used=300 * MIB, unused=0)
    assert memory.available_bytes() is None
