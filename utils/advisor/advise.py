"""Why an answer was not faster: from its figures to sentences, each with the next step."""

from __future__ import annotations

from utils.advisor.case import Advice, Case, Machine
from utils.advisor.drafting import DRAFTING
from utils.advisor.surroundings import SURROUNDINGS
from utils.chat.snapshots import JobSnapshot
from utils.chat.wording import TIMES, figure, sentence
from utils.performance_monitor import GenerationStats

RULES = (*DRAFTING, *SURROUNDINGS)
FASTER = 1.1


def advise(answer: JobSnapshot, machine: Machine) -> list[Advice]:
    """Return what slowed an answer down, the dearest first; or that nothing did."""
    case = Case.of(answer, machine)
    if answer.state == "failed":
        said = sentence(answer.error or "it does not say why")
        return [Advice("The answer failed", said, "Ask again once that is mended.", share=1.0)]
    if not answer.stats.completion_tokens:
        return [Advice("Nothing was written", "The answer ended before its first token.")]
    found = [advice for rule in RULES if (advice := rule(case)) is not None]
    found.sort(key=lambda advice: -advice.share)
    praise = _praise(answer.stats, is_all=not found)
    return [praise, *found] if praise else found


def _praise(stats: GenerationStats, *, is_all: bool) -> Advice | None:
    speed = f"{figure(stats.tokens_per_second)} tokens/s"
    if stats.speedup >= FASTER:
        kept = (
            f"; {stats.acceptance_rate:.0%} of what was drafted was kept" if stats.drafted else ""
        )
        finding = f"{speed}, {stats.speedup:.1f}{TIMES} plain decoding of the same target{kept}."
        return Advice("Drafting pays here", finding, tone="good")
    if not is_all:
        return None
    return Advice("Nothing slowed it down", f"{speed}, and no step took unduly long.", tone="good")
