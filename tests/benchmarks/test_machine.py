"""The conditions that a report names."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.machine import describe_machine, load_warning


def test_a_busy_machine_is_told_with_its_load():
    machine = describe_machine()
    assert "load average is 3.5" in load_warning(replace(machine, load_average=3.5))
    assert load_warning(replace(machine, load_average=0.5)) == ""


def test_the_machine_is_described_in_facts():
    machine = describe_machine()
    assert machine.processor
    assert machine.physical_cores >= 1
    assert machine.as_dict()["llama_cpp_python"].count(".") == 2
