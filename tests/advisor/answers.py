"""Answers as they are kept, made of a few words on how they went."""

from __future__ import annotations

from dataclasses import replace

from config import SamplingParams, SpeculativeConfig
from utils.chat.snapshots import AnswerRequest, JobSnapshot
from utils.performance_monitor import Baseline, PerformanceMonitor, RoundStats

PLAIN = 100.0


def round_of(
    drafted=4, accepted=3, *, drafter="small", draft_s=0.001, verify_s=0.01, other_s=0.0, depth=100
):
    total_s = draft_s + verify_s + other_s
    return RoundStats(
        drafter if drafted else None,
        drafted,
        accepted,
        accepted + 1,
        draft_s if drafted else 0.0,
        verify_s,
        total_s,
        depth,
    )


def answer_of(
    rounds=(),
    *,
    sampling=None,
    speculative=None,
    plain=PLAIN,
    prompt_tokens=40,
    reused_tokens=0,
    prefill_s=0.01,
    **changes,
) -> JobSnapshot:
    monitor = PerformanceMonitor(
        Baseline(plain, "calibration", 16) if plain else Baseline(),
        prompt_tokens=prompt_tokens,
        reused_tokens=reused_tokens,
        prefill_s=prefill_s,
        ttft_s=prefill_s + 0.01,
    )
    monitor.extend(rounds)
    request = AnswerRequest(
        (), SamplingParams(**(sampling or {})), SpeculativeConfig(**(speculative or {})), "somebody"
    )
    answer = JobSnapshot(
        version=1,
        state="done",
        request=request,
        started_at=1_000.0,
        text="Hello.",
        runs=(),
        mode="speculative",
        drafter="small",
        reason="",
        queue_position=0,
        prompt_done=prompt_tokens,
        prompt_total=prompt_tokens,
        seed=7,
        stats=monitor.result(),
        rounds=tuple(rounds),
        finish_reason="stop",
        error=None,
        model="large",
    )
    return replace(answer, **changes)
