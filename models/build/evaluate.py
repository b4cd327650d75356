"""Measure a pair per domain of the held-out split: how often it is right, how well it drafts.

python -m models.build.evaluate --target models/demo-target.gguf --draft models/demo-draft.gguf

The target answers greedily and the draft reads the same text. A round of greedy speculative
decoding accepts drafted tokens up to the first disagreement, so the rounds follow from that alone:

right      answers with the content of the reference, where the question determines it
agreement  target tokens that are the draft's first choice
accepted   drafted tokens that are accepted
per round  tokens a round yields, the target's own token included
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from .chat import Conversation, question_prompt, render
from .corpus import DETERMINED, DOMAINS, ask
from .runner import Runner

FOLLOW_UP = "follow_up"


@dataclass(frozen=True)
class Case:
    """A prompt and the answer that the corpus gives."""

    prompt: str
    reference: str


@dataclass
class Tally:
    """Counts of a domain."""

    cases: int = 0
    right: int = 0
    tokens: int = 0
    agreed: int = 0
    rounds: int = 0
    drafted: int = 0
    accepted: int = 0

    def add(self, other: Tally) -> None:
        """Add the counts of another domain."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def line(self, name: str, *, judged: bool) -> str:
        """Return a row of the table."""
        right = f"{self.right / self.cases:.0%}" if judged else ""
        return (
            f"{name:18}{right:>8}{self.tokens:8}{self.agreed / self.tokens:11.1%}"
            f"{self.accepted / max(1, self.drafted):10.1%}{self.tokens / self.rounds:11.2f}"
        )


def content(text: str) -> str:
    """Return an answer without its lead, its list marks and its result's wording."""
    text = re.sub(r"\A[^\n]*:\n\n", "", text.strip())
    text = re.sub(r"^(- |\d+\. )", "", text, flags=re.MULTILINE)
    result = re.search(r"(?:=|\bis) (-?\w+)\.?\Z", text)
    if result and "\n" not in text:
        return result[1]
    return " ".join(text.replace(",", " ").split())


def cases(name: str, count: int, seed: int) -> Iterator[Case]:
    """Yield held-out cases of a domain, or second questions about an earlier answer."""
    rng = Random(seed)
    names = sorted(DETERMINED)
    while count:
        turn = ask(rng, rng.choice(names) if name == FOLLOW_UP else name, heldout=True)
        if name != FOLLOW_UP:
            yield Case(question_prompt(turn.question), turn.answer)
        elif turn.follow_up is None:
            continue
        else:
            texts = (("user", turn.question), ("assistant", turn.answer))
            messages: Conversation = [{"role": r, "content": t} for r, t in texts]
            messages.append({"role": "user", "content": turn.follow_up[0]})
            yield Case(render(messages, generation_prompt=True), turn.follow_up[1])
        count -= 1


def agreement(draft: Runner, prompt: list[int], answer: list[int]) -> NDArray[np.bool_]:
    """Return for each token of an answer whether it is the draft's first choice."""
    draft.llm.reset()
    draft.llm.eval(prompt + answer[:-1])
    scores = draft.llm.scores[len(prompt) - 1 : len(prompt) + len(answer) - 1]
    chosen: NDArray[np.bool_] = scores.argmax(axis=1) == np.array(answer)
    return chosen


def count_rounds(agrees: NDArray[np.bool_], gamma: int) -> tuple[int, int, int]:
    """Return rounds, drafted tokens and accepted tokens of a greedy speculative run."""
    position = rounds = drafted = accepted = 0
    while position < len(agrees):
        guess = agrees[position : position + gamma]
        kept = len(guess) if guess.all() else int(guess.argmin())
        rounds, drafted, accepted = rounds + 1, drafted + len(guess), accepted + kept
        position += kept + 1
    return rounds, drafted, accepted


def measure(target: Runner, draft: Runner, case: Case, *, gamma: int, limit: int) -> Tally:
    """Answer one case and count."""
    answer = target.greedy(case.prompt, limit=limit)
    right = content(target.text(answer)) == content(case.reference)
    if len(answer) < limit:
        answer.append(target.llm.token_eos())
    agrees = agreement(draft, target.token_ids(case.prompt), answer)
    rounds, drafted, accepted = count_rounds(agrees, gamma)
    return Tally(1, right, len(answer), int(agrees.sum()), rounds, drafted, accepted)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--draft", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=25, help="prompts in a domain")
    parser.add_argument("--gamma", type=int, default=4, help="draft length")
    parser.add_argument("--limit", type=int, default=256, help="tokens in an answer")
    parser.add_argument("--seed", type=int, default=12345)
    args = parser.parse_args()

    target, draft = Runner(args.target), Runner(args.draft, every_position=True)
    print(
        f"{'domain':18}{'right':>8}{'tokens':>8}{'agreement':>11}{'accepted':>10}{'per round':>11}"
    )
    total, judged = Tally(), Tally()
    for name in (*DOMAINS, FOLLOW_UP):
        tally = Tally()
        for case in cases(name, args.prompts, args.seed):
            tally.add(measure(target, draft, case, gamma=args.gamma, limit=args.limit))
        determined = name == FOLLOW_UP or name in DETERMINED
        print(tally.line(name, judged=determined), flush=True)
        total.add(tally)
        if determined:
            judged.add(tally)
    print(judged.line("determined", judged=True))
    print(total.line("all", judged=False))


if __name__ == "__main__":
    main()
