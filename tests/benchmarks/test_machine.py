"""The conditions that a report names."""

from __future__ import annotations

from time import perf_counter

import pytest

from benchmarks import machine
from benchmarks.machine import LoadWatch, describe_machine, load_warning


def test_a_busy_machine_is_told_with_its_load():
    assert "others keep 1.5 cores at work" in load_warning(1.5)
    assert load_warning(0.3) == ""
    assert load_warning(None) == ""


def test_the_clocks_count_our_own_work():
    before = machine._clocks()
    end = perf_counter() + 0.1
    while perf_counter() < end:
        pass
    after = machine._clocks()
    assert before is not None
    assert after is not None
    assert after[2] > before[2]


def test_where_nobody_counts_the_load_of_others_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "STATISTICS", tmp_path / "none")
    assert LoadWatch().others() is None


def test_the_load_of_others_is_what_all_did_but_for_us(monkeypatch):
    clocks = iter([(100.0, 50.0, 10.0), (110.0, 65.0, 20.0)])
    monkeypatch.setattr(machine, "_clocks", lambda: next(clocks))
    assert LoadWatch().others() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["libggml-cuda.so", "libggml-metal.dylib", "ggml-vulkan.dll"])
def test_a_gpu_is_told_by_the_library_that_computes_on_it(monkeypatch, tmp_path, name):
    (tmp_path / name).touch()
    (tmp_path / "libggml-cpu.so").touch()
    monkeypatch.setattr(machine.native, "_base_path", tmp_path)
    assert machine.gpu_backend() == ""
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    assert machine.gpu_backend() in name
    (tmp_path / name).unlink()
    assert machine.gpu_backend() == "unknown"


def test_the_machine_is_described_in_facts():
    here = describe_machine()
    assert here.processor
    assert here.physical_cores >= 1
    assert here.as_dict()["llama_cpp_python"].count(".") == 2
