"""Advice on drafting: what guesses cost, and what came of them."""

from __future__ import annotations

from config import LOOKUP
from utils.advisor.case import Advice, Case, Rule
from utils.chat.wording import TIMES, draft_name, duration, sentence
from utils.performance_monitor import ratio

TOLD_DRAFTED = 32
LEAST_RATE = 0.5
HOT = 1.0
LARGEST_DRAFT_SHARE = 0.4
SLOWER = 0.97
DEAR_WIDTH, DEAR_STEPS = 5, 3.0


def _switched_off(case: Case) -> Advice | None:
    if case.answer.servers or case.answer.request.speculative.enabled:
        return None
    return Advice(
        "Drafting was switched off",
        "Every token took a pass of its own.",
        "Switch on speculative decoding in the sidebar of the chat.",
        share=0.9,
    )


def _no_draft_model(case: Case) -> Advice | None:
    answer = case.answer
    if not case.may_draft or answer.drafter not in (None, LOOKUP):
        return None
    if answer.request.speculative.draft_model == LOOKUP:
        step = "Choose Automatic as the draft, so that a model drafts too."
    elif case.machine.suggestion:
        step = f"Pull {case.machine.suggestion} on the Models page: it suits this target."
    else:
        step = "See on the Models page which drafts would fit this target."
    if answer.drafter == LOOKUP:
        title, finding = "No model drafted", "only lookup in the text drafted"
    else:
        title, finding = "Nothing drafted", "every token took a pass of its own"
    why = f": {answer.reason}" if answer.reason else ""
    return Advice(title, sentence(finding + why), step, share=0.8)


def _did_not_pay(case: Case) -> Advice | None:
    answer = case.answer
    if not case.may_draft or answer.mode != "standard" or answer.drafter in (None, LOOKUP):
        return None
    return Advice(
        "Drafting did not pay",
        sentence(answer.reason or "it was left off in the end"),
        "Nothing is lost, as plain decoding went on. A smaller draft, or a larger target, may pay.",
        tone="quiet",
        share=0.5,
    )


def _few_were_right(case: Case) -> Advice | None:
    stats, answer = case.stats, case.answer
    if stats.drafted < TOLD_DRAFTED or stats.acceptance_rate >= LEAST_RATE:
        return None
    temperature = answer.request.sampling.temperature
    if "another vocabulary" in answer.reason:
        step = "Take a draft with the vocabulary of the target: the Models page ranks them."
    elif temperature > HOT:
        step = f"Lower the temperature, which was {temperature:g}: likely words are guessed better."
    else:
        step = "Take a larger draft, or one of the target's family: the Models page ranks them."
    lost = (1 - stats.acceptance_rate) * (case.split.draft_s + case.split.verify_s)
    return Advice(
        "Few guesses were right",
        f"{stats.accepted} of {stats.drafted} drafted tokens were kept "
        f"({stats.acceptance_rate:.0%}), guessed by {draft_name(answer.drafter)}.",
        step,
        share=case.share(lost),
    )


def _dear_draft(case: Case) -> Advice | None:
    split, stats = case.split, case.stats
    if stats.drafted < TOLD_DRAFTED or split.draft_s < LARGEST_DRAFT_SHARE * split.decode_s:
        return None
    drafted = sum(round_.drafted for round_ in case.answer.rounds)
    return Advice(
        "The draft itself is slow",
        f"Drafting took {duration(split.draft_s)} of {duration(split.decode_s)}, "
        f"{duration(ratio(split.draft_s, drafted))} a token.",
        "Take a smaller draft, if there is one: the Models page ranks them by what they cost.",
        # What is dear and pays all the same is no trouble.
        tone="quiet" if stats.speedup > 1 else "bad",
        share=case.share(split.draft_s),
    )


def _dear_passes(case: Case) -> Advice | None:
    costs = case.machine.pass_costs
    if not case.may_draft or len(costs) < DEAR_WIDTH or costs[DEAR_WIDTH - 1] < DEAR_STEPS:
        return None
    step = (
        "A build of llama.cpp for this processor, or for a GPU, makes wide passes cheaper: see "
        "README."
    )
    return Advice(
        "Checking several tokens is dear here",
        f"A pass over {DEAR_WIDTH} tokens takes as long as {costs[DEAR_WIDTH - 1]:.1f} plain "
        "steps on this machine, so that right guesses save little.",
        step,
        tone="quiet",
        share=0.4,
    )


def _equal_widths(case: Case) -> Advice | None:
    if not case.may_draft or not case.answer.request.speculative.deterministic:
        return None
    return Advice(
        "Every pass is equally wide",
        "That keeps the text equal to the last bit, and makes plain passes as dear as wide ones.",
        "Unset SPECCHAT_SPECULATIVE__DETERMINISTIC where equal to the word is enough.",
        share=0.3,
    )


def _fixed_length(case: Case) -> Advice | None:
    speculative, best = case.answer.request.speculative, case.machine.best_length
    length = speculative.max_draft_tokens
    if not case.may_draft or speculative.draft_length != "fixed" or best in (None, length):
        return None
    said = f"{best} would pay best here now" if best else "drafting none would pay best here now"
    return Advice(
        "The draft length is fixed",
        f"{length} tokens were drafted in a round; {said}.",
        "Choose the adaptive draft length: it takes what is measured to pay.",
        tone="quiet",
        share=0.3,
    )


def _slower_than_plain(case: Case) -> Advice | None:
    speedup = case.stats.speedup
    if not case.stats.drafted or not 0 < speedup < SLOWER:
        return None
    is_fixed = case.answer.request.speculative.draft_length == "fixed"
    return Advice(
        "Slower than plain decoding",
        f"{speedup:.2f}{TIMES} the measured plain speed of the same target.",
        "Choose the adaptive draft length: it stops where drafting does not pay."
        if is_fixed
        else "Ask on: the adaptive draft length learns from every round, and stops where it "
        "does not pay.",
        share=1 - speedup,
    )


DRAFTING: tuple[Rule, ...] = (
    _switched_off,
    _no_draft_model,
    _did_not_pay,
    _few_were_right,
    _dear_draft,
    _dear_passes,
    _equal_widths,
    _fixed_length,
    _slower_than_plain,
)
