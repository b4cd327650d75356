"""Answers as they were written, with what the draft would have said at each of their tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.rig import PLAIN, Costs, Rig
from config import SamplingParams
from utils.drafters.lookup import LookupDrafter
from utils.drafters.protocol import Hindsight
from utils.engine.draft_shelf import MAX_DRAFT_TOKENS
from utils.model_session import FloatArray, ModelSession, common_prefix, prefill
from utils.prompt_suite import Suite
from utils.sampling import Distribution, Sampler
from utils.token_validator import make_verifier

# What a token costs beside its pass: to be sampled and told.
TOKEN_S = 0.0001


@dataclass(frozen=True, slots=True)
class Chain:
    """What the draft says from one place on, and by what margin it says each token."""

    token_ids: tuple[int, ...]
    margins: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """One answer of the target, and what the draft would say at each of its tokens."""

    category: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    chains: tuple[Chain, ...]

    def kept(self, drafted: Sequence[int], at: int) -> int:
        """Return how many drafted tokens the target keeps, where `at` were written before."""
        for index, token_id in enumerate(drafted):
            if at + index >= len(self.answer) or token_id != self.answer[at + index]:
                return index
        return len(drafted)


@dataclass(frozen=True, slots=True)
class Copy:
    """What followed where the last `match_length` tokens stood before.

    `onward` holds what goes on from a draft, by how many of its tokens there are.
    """

    token_ids: tuple[int, ...]
    match_length: int
    onward: tuple[Copy, ...] = ()

    @property
    def features(self) -> list[int]:
        """What each token is judged by: how long the match before it was."""
        return [self.match_length + offset for offset in range(len(self.token_ids))]


class NoPicker:
    """No token ends an answer before it is at its end; drafts are read, not picked."""

    may_withdraw = True

    def pick(
        self, logits: FloatArray, before: Sequence[int], drafted: Sequence[int]
    ) -> tuple[int, Distribution, float]:
        """Fail: the drafts are read off traces, where they were picked already."""
        raise RuntimeError("a replayed draft picks no tokens: it was asked to")

    def may_follow(self, guessed: Sequence[int]) -> bool:
        """Say no: there is no trace of what would be drafted there."""
        return False

    def look_back(self, rows: FloatArray, token_ids: Sequence[int]) -> Hindsight:
        """Judge nothing: it was judged when the trace was made."""
        return ()

    def is_end(self, token_id: int) -> bool:
        """Say no."""
        return False


def record_traces(rig: Rig, suite: Suite, sampling: SamplingParams) -> list[Trace]:
    """Answer the prompts plain, and ask the draft at each token for the next 16."""
    if rig.draft is None:
        raise ValueError("nothing to replay: name a draft with --draft")
    traces = []
    for category, prompts in suite.items():
        for turns in prompts:
            prompt = rig.encode(*turns)
            rig.forget()
            answer = rig.answer(prompt, sampling, PLAIN).token_ids
            text = [*prompt, *answer]
            chains = [
                _chain(rig.draft.session, text[:end], sampling)
                for end in range(len(prompt), len(text))
            ]
            traces.append(Trace(category, tuple(prompt), answer, tuple(chains)))
    return traces


def copies_of(trace: Trace, most: int) -> list[Copy]:
    """Return what a lookup would copy at each token of the answer, up to `most` tokens.

    And what it would copy after each draft that could be made there.
    """
    lookup, found = LookupDrafter(), []
    for at, chain in enumerate(trace.chains):
        lookup.observe([*trace.prompt, *trace.answer[:at]])
        drafts = [chain.token_ids[:count] for count in range(min(most, len(chain.token_ids)) + 1)]
        onward = [lookup.copy_after(drafted, most - len(drafted), NoPicker()) for drafted in drafts]
        copied = tuple(lookup.copy(most, NoPicker()))
        copies = tuple(Copy(tuple(token_ids), length) for token_ids, length in onward)
        found.append(Copy(copied, lookup.match_length, copies))
    return found


def measured_costs(figures: Mapping[str, Any]) -> dict[str, Costs]:
    """Return the costs in what `--json` wrote, by pair."""
    return {
        f"{pair['target']}, draft {pair['draft']}": Costs(
            tuple(pair["costs"]["pass_s"]),
            pair["costs"]["draft_token_s"],
            pair["costs"].get("draft_begin_s", 0.0),
        )
        for pair in figures["pairs"]
        if pair.get("costs")
    }


def _chain(session: ModelSession, text: Sequence[int], sampling: SamplingParams) -> Chain:
    """Let the draft go on after `text`, with the noise that the target draws with."""
    sampler, verifier = Sampler(sampling), make_verifier("coupled", sampling.seed or 0)
    session.rollback(common_prefix(session.cached, text[:-1]))
    for _ in prefill(session, text[:-1]):
        pass
    drafted: list[int] = []
    margins: list[float] = []
    unread = text[-1]
    while len(drafted) < MAX_DRAFT_TOKENS and len(session.cached) < session.n_ctx:
        logits = session.decode([unread], rows=1)[0]
        distribution = sampler.distribution(logits, text, drafted)
        unread, margin = verifier.propose(distribution, len(text) + len(drafted))
        if sampling.is_greedy:
            margin = sampler.lead(logits, unread, text, drafted)
        drafted.append(unread)
        margins.append(margin)
    return Chain(tuple(drafted), tuple(margins))
