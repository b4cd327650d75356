"""Train the pair: a target by cross-entropy, then a draft distilled from it.

python -m models.build.train --preset target --data build/data --out build/target.pt --steps 5000
python -m models.build.train --preset draft --data build/data --out build/draft.pt --steps 4000 \
    --teacher build/target.pt

The learning rate stays constant and falls to zero over the last steps. A checkpoint holds the
optimizers too: ``--resume`` goes on where it stopped, also with another number of steps.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.optim import Optimizer

from .chat import SPECIALS
from .model import PRESETS, Llama, load, save

Batch = tuple[Tensor, Tensor]  # tokens, and which of them are learned


def batches(path: Path, size: int, seed: int) -> Iterator[Batch]:
    """Yield shuffled batches of about ``size`` tokens for ever."""
    data = np.load(path)
    rows, masks = data["tokens"], data["mask"]
    count = max(1, size // rows.shape[1])
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(rows))
        for start in range(0, len(order) - count + 1, count):
            pick = order[start : start + count]
            yield (
                torch.from_numpy(rows[pick].astype(np.int64)),
                torch.from_numpy(masks[pick].astype(bool)),
            )


def repeats(rng: np.random.Generator, shape: tuple[int, int], vocab: int) -> Batch:
    """Return rows of random token sequences said several times; the repetitions are learned.

    They teach copying from the context, which text alone teaches a small model slowly.
    """
    rows, masks = np.zeros(shape, np.int64), np.zeros(shape, bool)
    for row, learned in zip(rows, masks, strict=True):
        at = 0
        while at < len(row):
            once = rng.integers(len(SPECIALS), vocab, rng.integers(3, 25))
            said = np.tile(once, rng.integers(2, 5))[: len(row) - at]
            row[at : at + len(said)] = said
            learned[at + len(once) + 1 : at + len(said)] = True
            at += len(said)
    return torch.from_numpy(rows), torch.from_numpy(masks)


def losses(model: Llama, batch: Batch, teacher: Llama | None = None) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of the learned tokens and the divergence from the teacher."""
    tokens, mask = batch
    inputs, wanted = tokens[:, :-1], mask[:, 1:]
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.logits(model.hidden(inputs)[wanted])
    cross_entropy = functional.cross_entropy(logits, tokens[:, 1:][wanted])
    if teacher is None:
        return cross_entropy, torch.zeros(())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        truth = functional.log_softmax(teacher.logits(teacher.hidden(inputs)[wanted]), dim=-1)
    guess = functional.log_softmax(logits, dim=-1)
    return cross_entropy, functional.kl_div(guess, truth, log_target=True, reduction="batchmean")


@torch.no_grad()
def heldout(model: Llama, path: Path, rows: int = 64) -> tuple[float, float]:
    """Return the loss per assistant token and the share of tokens predicted right."""
    data = np.load(path)
    total, right, count = 0.0, 0, 0
    for start in range(0, min(rows, len(data["tokens"])), 8):
        tokens = torch.from_numpy(data["tokens"][start : start + 8].astype(np.int64))
        wanted = torch.from_numpy(data["mask"][start : start + 8].astype(bool))[:, 1:]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.logits(model.hidden(tokens[:, :-1])[wanted])
        labels = tokens[:, 1:][wanted]
        total += functional.cross_entropy(logits, labels, reduction="sum").item()
        right += int((logits.argmax(-1) == labels).sum())
        count += len(labels)
    return total / count, right / count


def optimizers(model: Llama, rate: float) -> list[Optimizer]:
    """Return Muon for the matrices inside the blocks and AdamW for the rest."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    return [
        torch.optim.Muon(
            matrices, lr=rate, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def rate_share(step: int, *, steps: int, warmup: int, decay: float) -> float:
    """Return the share of the full learning rate that a step uses."""
    left = (steps - step) / max(1.0, decay * steps)
    return min(1.0, (step + 1) / warmup, left)


@dataclass
class Run:
    """A training run that can be stopped and continued."""

    model: Llama
    teacher: Llama | None
    optims: list[Optimizer]
    args: argparse.Namespace
    counts: dict[str, Any] = field(default_factory=lambda: {"steps": 0, "tokens": 0, "cpu_s": 0.0})

    def next_batch(self, stages: list[Iterator[Batch]], rng: np.random.Generator) -> Batch:
        """Return the next batch, its first rows replaced by repetitions."""
        progress = self.counts["steps"] / self.args.steps
        late = progress >= self.args.first_stage
        tokens, mask = next(stages[min(int(late), len(stages) - 1)])
        shrinking = max(0.0, 1 - progress / self.args.first_stage)
        copied = round(len(tokens) * self.args.copies * shrinking)
        if copied:
            shape = (copied, tokens.shape[1])
            tokens[:copied], mask[:copied] = repeats(rng, shape, self.model.config.vocab_size)
        return tokens, mask

    def step(self, batch: Batch) -> tuple[float, float]:
        """Learn from a batch and return its cross-entropy and divergence."""
        args = self.args
        share = rate_share(
            self.counts["steps"], steps=args.steps, warmup=args.warmup, decay=args.decay
        )
        for group in (group for optim in self.optims for group in optim.param_groups):
            group["lr"] = args.rate * share
        cross_entropy, divergence = losses(self.model, batch, self.teacher)
        weight = args.kl if self.teacher else 0.0
        loss = (1 - weight) * cross_entropy + weight * divergence
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optim in self.optims:
            optim.step()
            optim.zero_grad(set_to_none=True)
        self.counts["tokens"] += batch[0].numel()
        self.counts["steps"] += 1
        return cross_entropy.item(), divergence.item()

    def checkpoint(self) -> None:
        """Save everything and report the held-out loss."""
        states = [optim.state_dict() for optim in self.optims]
        save(self.model, self.args.out, counts=self.counts, optimizers=states)
        loss, accuracy = heldout(self.model, self.args.data / "heldout.npz")
        report = {"heldout_loss": round(loss, 4), "perplexity": round(math.exp(loss), 3)}
        print(json.dumps({**self.counts, **report, "accuracy": round(accuracy, 4)}), flush=True)

    def learn(self) -> None:
        """Take steps until the last one, with a checkpoint now and then."""
        args, seed = self.args, self.args.seed + self.counts["steps"]
        stages = [batches(args.data / f"train-{n}.npz", args.batch, seed) for n in args.lengths]
        rng = np.random.default_rng(seed)
        saved, cpu = time.monotonic(), time.process_time() - self.counts["cpu_s"]
        while self.counts["steps"] < args.steps:
            cross_entropy, divergence = self.step(self.next_batch(stages, rng))
            self.counts["cpu_s"] = round(time.process_time() - cpu, 1)
            if self.counts["steps"] % args.report == 0:
                rate = self.counts["tokens"] / self.counts["cpu_s"]
                print(
                    f"step {self.counts['steps']}, {self.counts['tokens'] / 1e6:.2f} M tokens, "
                    f"{rate:.0f} a CPU second, loss {cross_entropy:.3f}, KL {divergence:.3f}",
                    flush=True,
                )
            if time.monotonic() - saved > args.save_every * 60:
                saved = time.monotonic()
                self.checkpoint()
        self.checkpoint()


def start(args: argparse.Namespace) -> Run:
    """Return a new run, or the one of a checkpoint."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    source = args.resume or args.init
    model = load(source).train() if source else Llama(PRESETS[args.preset])
    run = Run(
        model, load(args.teacher) if args.teacher else None, optimizers(model, args.rate), args
    )
    if args.resume:
        checkpoint = torch.load(args.resume, map_location="cpu", weights_only=True)
        run.counts = checkpoint["counts"]
        for optim, state in zip(run.optims, checkpoint["optimizers"], strict=True):
            optim.load_state_dict(state)
    print(f"{args.preset}: {model.size():,} parameters", flush=True)
    return run


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add, number = parser.add_argument, float
    add("--preset", choices=PRESETS, required=True)
    add("--data", type=Path, required=True)
    add("--out", type=Path, required=True)
    add("--steps", type=int, required=True)
    add("--init", type=Path, help="checkpoint whose weights to start from")
    add("--resume", type=Path, help="checkpoint of a run to continue")
    add("--teacher", type=Path, help="checkpoint to distil from")
    add("--kl", type=number, default=0.8, help="weight of the divergence when distilling")
    add("--lengths", type=int, nargs="+", default=[512, 1024], help="row length of each stage")
    add("--first-stage", type=number, default=0.7, help="share of the steps before the second")
    add("--copies", type=number, default=0.5, help="initial share of rows that repeat noise")
    add("--batch", type=int, default=4096, help="tokens in a step")
    add("--rate", type=number, default=2e-3, help="learning rate")
    add("--warmup", type=int, default=50, help="steps")
    add("--decay", type=number, default=0.3, help="share of the steps in which the rate falls")
    add("--save-every", type=number, default=5, help="minutes")
    add("--report", type=int, default=50, help="steps")
    add("--threads", type=int, default=2)
    add("--seed", type=int, default=0)
    start(parser.parse_args()).learn()


if __name__ == "__main__":
    main()
