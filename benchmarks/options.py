"""The command line of `python -m benchmarks`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from benchmarks.history import ROOM_TOKENS
from benchmarks.models import DRAFT, SIZES, TARGET
from benchmarks.rig import ADAPTIVE, Way
from config import ROOT, VerifierName
from utils.prompt_suite import PROMPTS

MODELS = ROOT / "build" / "bench"
SWEEP = list(range(1, 9))
# Passes of the embedded pair are so short that Python between them, and chance, count for too much.
GATE_SIZE, GATE_TYPE = "100m", "Q8_0"
SWEPT, ALL_DRAFTERS = ["adaptive", "model"], ["adaptive", "model", "lookup"]


def parse(arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Return the options; ends the program with a message where they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=description)
    parser.add_argument(
        "what",
        nargs="?",
        choices=["pairs", "loop", "replay", "gate", "build-llama-server"],
        default="pairs",
    )
    _add_models(parser)
    _add_measurement(parser)
    _add_outputs(parser)
    options = parser.parse_args(arguments)
    if options.sweep:
        options.lengths = SWEEP
    is_own = options.grow or options.target != [TARGET] or options.draft != DRAFT
    if options.what == "gate" and not is_own:
        options.grow, options.types = GATE_SIZE, [GATE_TYPE]
    options.drafters = options.drafters or (SWEPT if options.sweep else ALL_DRAFTERS)
    if options.depth and not options.prompts:
        parser.error("--depth needs --prompts: the conversation is made of the prompts left over")
    if options.depth + ROOM_TOKENS > options.context:
        parser.error(f"--context must be {options.depth + ROOM_TOKENS} at least for that --depth")
    return options


def ways_of(options: argparse.Namespace) -> tuple[Way, ...]:
    """Return the ways that are compared: adaptive, and each other drafter with each length."""
    ways = []
    for drafter in dict.fromkeys(options.drafters):
        if drafter == "adaptive":
            ways += [replace(ADAPTIVE, verifier=verifier) for verifier in options.verifiers]
        else:
            ways += [Way(drafter, length, options.threshold) for length in options.lengths]
    return tuple(ways)


def _add_models(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("models").add_argument
    add("--target", type=Path, nargs="+", default=[TARGET], help="GGUF of each target")
    add("--draft", type=Path, default=DRAFT, help="GGUF of the draft of all targets")
    add("--grow", choices=list(SIZES), help="the embedded pair grown to a size, in place of these")
    add("--types", nargs="+", default=["F16", "Q8_0", "Q4_0"], help="of grown targets")
    add("--pad-vocab", type=_count, default=0, help="tokens of a grown pair's vocabulary: 128256")
    add("--models-folder", type=Path, default=MODELS, help="keeps what is built")
    add("--llama-server", type=Path, help="a program to use in place of the one built there")


def _add_measurement(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("measurement").add_argument
    add("--drafters", nargs="+", choices=["adaptive", "model", "lookup"])
    add("--lengths", nargs="+", type=_length, default=[5], help="fixed draft lengths, 1 to 16")
    add(
        "--verifiers",
        nargs="+",
        choices=get_args(VerifierName),
        default=["coupled"],
        help="of adaptive drafting",
    )
    add("--sweep", action="store_true", help="fixed lengths 1 to 8 of the draft, and adaptive")
    add("--temperatures", nargs="+", type=float, default=[0.0, 0.8])
    add("--tokens", type=_count, default=160, help="longest answer")
    add("--repeats", type=_count, default=2, help="of plain, ways, ways in reverse, plain")
    add("--threshold", type=float, default=0.0, help="acceptance below which fixed lengths pause")
    add("--suite", type=Path, default=PROMPTS, help="JSON of prompts by category")
    add("--categories", nargs="+", help="only these")
    add("--prompts", type=_count, help="at most so many of a category")
    add("--depth", type=_count, default=0, help="ask after a conversation of so many tokens")
    add("--costs", type=Path, help="of replay: a file that --json wrote")
    add("--threads", type=_count, help="default: physical cores")
    add("--context", type=_count, default=2048, help="context in tokens")
    add(
        "--peers",
        choices=["no", "few", "all", "only"],
        default="no",
        help="others, at few or all settings",
    )
    add("--skip", nargs="+", choices=["bounds", "latency", "upkeep"], default=[], help="save time")
    add("--busy", action="store_true", help="measure on a busy machine too")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("reports, written after every pair").add_argument
    add("--json", type=Path, help="file to write")
    add("--update", action="store_true", help="keep what that file has and this run has not")
    add("--markdown", type=Path, help="file to write")
    add("--html", type=Path, help="file to write")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more: {value}")
    return value


def _length(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 16:
        raise argparse.ArgumentTypeError(f"must be 1 to 16: {value}")
    return value
