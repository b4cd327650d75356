"""Advice on what is around drafting: prompt, text, target, machine, and who wrote."""

from __future__ import annotations

from utils.advisor.case import Advice, Case, Rule
from utils.chat.wording import duration, figure, sentence
from utils.performance_monitor import ratio
from utils.round_figures import slowdown
from utils.sizes import size

LONG_PREFILL_S, LARGEST_PREFILL_SHARE = 1.0, 0.3
LARGEST_OTHER_SHARE = 0.25
LARGEST_SLOWDOWN = 1.5
HEAVY_TOKENS_PER_SECOND = 8.0
BUSY_LOAD = 1.5
SLOW_PACE = 1.5
SHORT_MEMORY_BYTES = 512 * 2**20


def _another_wrote(case: Case) -> Advice | None:
    answer = case.answer
    if not answer.servers:
        return None
    who = " and ".join(answer.servers)
    part = "a part of it" if answer.handovers else "it"
    why = f": {answer.reason}" if answer.reason else ""
    step = "Choose a model that the engine can load; the Models page says which."
    if answer.request.model.backend == "ollama":
        step = "Set “Answered by” to Automatic in the sidebar of the chat: then the engine writes."
    return Advice(
        "The engine did not write it",
        sentence(f"{who} wrote {part}, where nothing can be drafted{why}"),
        step,
        share=1.0,
    )


def _loaded_in_ollama(case: Case) -> Advice | None:
    numbers = case.answer.reported
    if numbers is None or numbers.load_s < LONG_PREFILL_S:
        return None
    return Advice(
        f"{numbers.source} had to load the model",
        f"{duration(numbers.load_s)} of the wait for the first token went into that.",
        "The next question comes sooner: the model stays in its memory for some minutes.",
        share=min(1.0, ratio(numbers.load_s, case.split.total_s + numbers.load_s)),
    )


def _slow_prompt(case: Case) -> Advice | None:
    stats, share = case.stats, case.share(case.split.prefill_s)
    if stats.prefill_s < LONG_PREFILL_S or share < LARGEST_PREFILL_SHARE:
        return None
    new = max(0, stats.prompt_tokens - stats.reused_tokens)
    finding = (
        f"{new:,} new tokens were read in {duration(stats.prefill_s)}; "
        f"{stats.reused_tokens:,} were still in the cache."
    )
    if case.answer.servers:
        # How many of them were in its cache is not told.
        took = duration(stats.prefill_s)
        finding = f"It took {took} until the prompt of {stats.prompt_tokens:,} tokens was read."
    return Advice(
        "Reading the prompt took long",
        finding,
        "Leave out attachments and turns that the question does not need; going on in the same "
        "chat keeps what was read.",
        share=share,
    )


def _grew_slower(case: Case) -> Advice | None:
    factor = slowdown(case.answer.rounds)
    if factor < LARGEST_SLOWDOWN:
        return None
    depth = case.answer.rounds[-1].depth
    return Advice(
        "Passes got slower on the way",
        f"In the end, at {depth:,} tokens of text, a pass took {factor:.1f} times as long as at "
        "the beginning.",
        "Begin a new chat for a new subject; and see that nothing else keeps the machine busy.",
        share=1 - 1 / factor,
    )


def _beside_the_models(case: Case) -> Advice | None:
    split, sampling = case.split, case.answer.request.sampling
    if split.other_s < LARGEST_OTHER_SHARE * split.decode_s:
        return None
    if sampling.json_output or sampling.json_schema or sampling.grammar:
        step = "Switch off JSON output where it is not needed: every token is held against rules."
    elif sampling.has_penalties:
        step = "Leave penalties neutral where they are not needed: they weigh every token."
    else:
        step = "That is usual for so small a target: a larger one spends its time in passes."
    return Advice(
        "Much time went beside the models",
        f"{duration(split.other_s)} of {duration(split.decode_s)} went into choosing tokens and "
        "telling them.",
        step,
        tone="quiet",
        share=case.share(split.other_s),
    )


def _heavy_target(case: Case) -> Advice | None:
    speed, machine = case.stats.baseline.tokens_per_second, case.machine
    if not 0 < speed < HEAVY_TOKENS_PER_SECOND or not machine.target_bytes:
        return None
    gpu = "" if machine.has_gpu else ", or build llama.cpp for a GPU as README tells"
    return Advice(
        "The target is heavy for this machine",
        f"Plain decoding yields {figure(speed)} tokens/s: all of its "
        f"{size(machine.target_bytes)} are read for every pass.",
        f"Take a smaller model or one of fewer bits{gpu}.",
        share=0.6,
    )


def _busy_machine(case: Case) -> Advice | None:
    machine, findings = case.machine, []
    if machine.pace >= SLOW_PACE:
        findings.append(f"passes take {machine.pace:.1f} times as long as when they were measured")
    if machine.cores and machine.load >= BUSY_LOAD * machine.cores:
        findings.append(f"{machine.load:.1f} programs want its {machine.cores} cores right now")
    if not findings:
        return None
    return Advice(
        "The machine is busy",
        sentence("; ".join(findings)),
        "Close what is not needed, then ask again.",
        share=0.5,
    )


def _short_memory(case: Case) -> Advice | None:
    left = case.machine.available_bytes
    if left is None or left > SHORT_MEMORY_BYTES:
        return None
    return Advice(
        "Memory is short",
        f"{size(left)} are left: what does not fit is read from disk again and again.",
        "Close other programs, unload models of Ollama on the Models page, or take a smaller one.",
        share=0.7,
    )


SURROUNDINGS: tuple[Rule, ...] = (
    _another_wrote,
    _loaded_in_ollama,
    _slow_prompt,
    _grew_slower,
    _beside_the_models,
    _heavy_target,
    _busy_machine,
    _short_memory,
)
