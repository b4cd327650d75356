"""What is expected of a draft that has not drafted yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tiny_gguf import write_tiny_gguf
from utils.draft_estimates import (
    RATE_OF_EQUAL,
    expected_speedup,
    is_twin,
    token_cost,
    usual_acceptance,
)
from utils.llama.gguf_header import read_header

MB, GB = 10**6, 10**9


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "big.gguf"
    return read_header(write_tiny_gguf(path, width=256, feed_forward=1024, layers=4))


def sized(header, bytes_, *, bits=8.5, blocks=16):
    """A header of a model with so many bytes, all of them in layers."""
    parameters = int(8 * bytes_ / bits)
    return replace(
        header,
        size_bytes=bytes_,
        step_bytes=bytes_,
        parameters=parameters,
        layer_parameters=parameters,
        block_count=blocks,
    )


@pytest.mark.parametrize(
    ("acceptance", "cost", "passes", "speedup"),
    [
        (0.0, 0.1, (), 1.0),
        (0.5, 0.0, (1.0, 1.0), 1.5),
        (0.8, 0.1, (1.0, 1.0, 1.0), 2.44 / 1.2),
        (0.8, 1.0, (1.0, 1.0, 1.0), 1.0),
        (1.0, 0.0, (1.0, 2.0, 3.0), 1.0),
    ],
)
def test_the_expected_speedup_is_that_of_the_best_length(acceptance, cost, passes, speedup):
    assert expected_speedup(acceptance, cost, passes) == pytest.approx(speedup)


def test_smaller_drafts_and_strangers_are_expected_to_be_right_less_often(header):
    target = sized(header, 8 * GB)
    rates = [usual_acceptance(target, sized(header, 8 * GB // share)) for share in (2, 10, 50)]
    assert rates == sorted(rates, reverse=True)
    assert 0.6 < rates[2] < rates[0] < RATE_OF_EQUAL
    draft = sized(header, GB)
    stranger = replace(draft, architecture="qwen2")
    assert usual_acceptance(target, stranger) < usual_acceptance(target, draft)
    assert usual_acceptance(target, draft, overlap=1.0) < usual_acceptance(target, draft)
    assert usual_acceptance(target, draft, overlap=0.5) < 0.35


def test_the_rate_falls_as_it_was_measured_to_fall(header):
    """LaMDA with 137 billion weights kept 0.58, 0.71 and 0.75 of what these drafted."""
    target = sized(header, 137 * GB, bits=16)
    for billions, kept in ((0.1, 0.59), (2, 0.71), (8, 0.745)):
        draft = sized(header, int(billions * GB), bits=16)
        assert usual_acceptance(target, draft) == pytest.approx(kept, abs=0.04)


def test_tables_of_tokens_make_no_draft_abler(header):
    target, draft = sized(header, 8 * GB), sized(header, GB // 10)
    padded = replace(draft, parameters=10 * draft.parameters, size_bytes=10 * draft.size_bytes)
    assert usual_acceptance(target, padded) == pytest.approx(usual_acceptance(target, draft))


def test_a_draft_in_few_bits_is_right_less_often(header):
    target, draft = sized(header, 8 * GB), sized(header, GB)
    rates = [
        usual_acceptance(target, replace(draft, size_bytes=int(draft.parameters * bits / 8)))
        for bits in (16, 8.5, 4.5, 2.6)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] - rates[1] < 0.005
    assert 0.02 < rates[0] - rates[2] < 0.05
    assert rates[0] - rates[3] > 0.1


def test_the_target_in_fewer_bits_is_right_most_often(header):
    target = sized(header, 16 * GB, bits=16)
    twin = replace(target, size_bytes=4 * GB, step_bytes=4 * GB)
    assert is_twin(target, twin)
    assert not is_twin(target, sized(header, 4 * GB))
    assert usual_acceptance(target, twin) > 0.85 > usual_acceptance(target, sized(header, 4 * GB))


def test_a_token_costs_what_its_weights_take_to_be_read_and_a_little_for_each_layer(header):
    target = sized(header, 8 * GB, blocks=32)
    assert token_cost(target, target) == pytest.approx(1)
    assert token_cost(target, sized(header, GB)) == pytest.approx(1 / 8, rel=0.05)
    tiny = token_cost(target, sized(header, MB, blocks=4))
    assert 1 / 8000 < tiny < 1 / 500
    assert token_cost(target, sized(header, MB, blocks=16)) > 1.5 * tiny


def test_on_a_gpu_layers_weigh_more_beside_reading(header):
    target, draft = sized(header, 8 * GB, blocks=32), sized(header, GB, blocks=28)
    assert token_cost(target, draft, on_gpu=True) > 1.05 * token_cost(target, draft)


@pytest.mark.parametrize("step_s", [1e-5, 1e-3, 1.0])
def test_whatever_a_step_was_measured_to_take_a_smaller_draft_takes_less(header, step_s):
    target = sized(header, 8 * GB, blocks=32)
    costs = [
        token_cost(target, sized(header, bytes_, blocks=blocks), step_s=step_s)
        for bytes_, blocks in ((8 * GB, 32), (GB, 16), (MB, 4))
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == pytest.approx(1)
    assert costs[-1] > 0
