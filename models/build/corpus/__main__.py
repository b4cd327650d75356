"""Write the training and held-out conversations as JSONL.

python -m models.build.corpus --out build/corpus --train 150000 --heldout 1000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .code import TASKS
from .conversations import write
from .docs import DOCS
from .facts import FACTS


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=150_000, help="conversations")
    parser.add_argument("--heldout", type=int, default=1000, help="conversations")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "train.jsonl", args.train, seed=args.seed, heldout=False)
    write(args.out / "heldout.jsonl", args.heldout, seed=args.seed + 1_000_003, heldout=True)
    questions = sum(len(fact.questions) for fact in FACTS)
    print(f"{len(FACTS)} facts ({questions} questions), {len(TASKS)} functions, {len(DOCS)} docs")


if __name__ == "__main__":
    main()
