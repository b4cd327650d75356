"""Training learns, can be continued, and sees only what it should."""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from models.build.model import Config, Llama, load
from models.build.train import Run, optimizers, rate_share, repeats, start

SMALL = Config(vocab_size=64, dim=32, layers=1, heads=2, kv_heads=1, head_dim=16, ffn=48)


@pytest.fixture
def args(tmp_path: Path) -> argparse.Namespace:
    rows = np.tile(np.arange(8, 40, dtype=np.uint16), (32, 1))
    for name in ("train-32", "heldout"):
        np.savez(tmp_path / f"{name}.npz", tokens=rows, mask=np.ones_like(rows, dtype=np.uint8))
    return argparse.Namespace(
        preset="draft",
        data=tmp_path,
        out=tmp_path / "model.pt",
        steps=20,
        init=None,
        resume=None,
        teacher=None,
        kl=0.8,
        lengths=[32],
        first_stage=0.7,
        copies=0.5,
        batch=256,
        rate=1e-2,
        warmup=2,
        decay=0.3,
        save_every=5.0,
        report=1000,
        threads=1,
        seed=0,
    )


def run_of(args: argparse.Namespace, teacher: Llama | None = None) -> Run:
    torch.manual_seed(0)
    model = Llama(SMALL)
    return Run(model, teacher, optimizers(model, args.rate), args)


def reports(text: str, key: str) -> list[float]:
    return [float(part.split(",")[0]) for part in text.split(f'"{key}": ')[1:]]


def test_training_lowers_the_heldout_loss(
    args: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(args)
    run.checkpoint()
    run.learn()
    first, *_, last = reports(capsys.readouterr().out, "heldout_loss")
    assert last < first / 2


def test_distillation_brings_the_draft_closer_to_its_teacher(args: argparse.Namespace) -> None:
    run_of(args).learn()
    run = run_of(args, load(args.out))
    batch = run.next_batch(
        [iter([(torch.arange(8, 40).repeat(8, 1), torch.ones(8, 32) > 0)])],
        np.random.default_rng(0),
    )
    _, before = run.step(batch)
    for _ in range(10):
        _, after = run.step(batch)
    assert after < before


def test_a_resumed_run_continues_its_counts(args: argparse.Namespace) -> None:
    run_of(args).learn()
    args.resume, args.steps = args.out, 22
    run = start(args)
    assert run.counts["steps"] == 20


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    shares = [rate_share(s, steps=100, warmup=10, decay=0.2) for s in (0, 10, 80, 90, 100)]
    assert shares == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])


def test_learned_repetitions_follow_from_earlier_tokens() -> None:
    rows, masks = repeats(np.random.default_rng(0), (4, 256), 4096)
    for row, learned in zip(rows.tolist(), masks.tolist(), strict=True):
        for at in range(1, len(row)):
            if learned[at]:
                pair = (row[at - 1], row[at])
                assert pair in pairwise(row[:at])
