"""The trial of the matrix unit."""

from __future__ import annotations

import subprocess

import pytest

from utils.llama import kernels


@pytest.fixture(autouse=True)
def _asked_anew():
    kernels.can_repack.cache_clear()
    yield
    kernels.can_repack.cache_clear()


def test_the_model_of_zeros_can_be_computed(monkeypatch):
    defaults = kernels.native.llama_model_default_params

    def without_new_layouts():
        params = defaults()
        params.use_extra_bufts = False
        return params

    monkeypatch.setattr(kernels.native, "llama_model_default_params", without_new_layouts)
    kernels.compute()


def test_without_a_matrix_unit_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(kernels, "system_info", lambda: "CPU : AVX2 = 1")
    monkeypatch.setattr(subprocess, "run", None)
    assert kernels.can_repack()


@pytest.mark.parametrize(("status", "usable"), [(0, True), (-11, False), (-4, False), (1, False)])
def test_a_unit_is_used_only_if_the_trial_survives(monkeypatch, status, usable):
    monkeypatch.setattr(kernels, "system_info", lambda: "CPU : AMX_INT8 = 1")
    trial = subprocess.CompletedProcess([], status)
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: trial)
    assert kernels.can_repack() is usable


def test_a_trial_that_hangs_speaks_against_the_unit(monkeypatch):
    def hang(command, **_options):
        raise subprocess.TimeoutExpired(command, kernels.TRIAL_TIMEOUT_S)

    monkeypatch.setattr(kernels, "system_info", lambda: "CPU : AMX_INT8 = 1")
    monkeypatch.setattr(subprocess, "run", hang)
    assert not kernels.can_repack()
