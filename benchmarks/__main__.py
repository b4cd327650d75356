"""`python -m benchmarks`: speculative against plain decoding; `... loop`: our loop's own cost."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from benchmarks.comparison import Setting, compare
from benchmarks.latency import measure_latency
from benchmarks.loop import measure_loop
from benchmarks.machine import describe_machine, load_warning
from benchmarks.report import PairResult, Report
from benchmarks.rig import Rig
from benchmarks.suite import PROMPTS, load_suite
from config import ROOT, ModelOptions

TARGET = ROOT / "models" / "demo-target.gguf"
DRAFT = ROOT / "models" / "demo-draft.gguf"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON or Markdown where asked."""
    options = _parse(arguments)
    report = Report(describe_machine())
    warning = load_warning(report.machine)
    if warning and not options.busy:
        sys.exit(f"{warning}; --busy measures all the same")
    model_options = ModelOptions(context_tokens=options.context, threads=options.threads)
    if options.what == "loop":
        report.loop = measure_loop(options.target, model_options)
    else:
        _measure_pairs(report, options, model_options)
    print(report.as_text())
    if options.json:
        options.json.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.as_markdown(), encoding="utf-8")


def _measure_pairs(
    report: Report, options: argparse.Namespace, model_options: ModelOptions
) -> None:
    suite = load_suite(options.suite, limit=options.prompts)
    with Rig(options.target, options.draft, model_options) as rig:
        for drafter, length, temperature in product(
            options.drafters, options.lengths, options.temperatures
        ):
            setting = Setting(
                drafter=drafter,
                draft_length=length,
                temperature=temperature,
                max_tokens=options.tokens,
                repeats=options.repeats,
                threshold=options.threshold,
            )
            categories = compare(rig, suite, setting)
            target = rig.target.info
            name = options.target.stem
            report.pairs.append(
                PairResult(name, rig.name_of(drafter), target.quantization, setting, categories)
            )
        for drafter in ("none", *options.drafters):
            report.latencies.append(
                measure_latency(rig, suite, drafter=drafter, speculative=setting.speculative)
            )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["pairs", "loop"], default="pairs")
    parser.add_argument("--target", type=Path, default=TARGET, help="GGUF of the target")
    parser.add_argument("--draft", type=Path, default=DRAFT, help="GGUF of the draft")
    parser.add_argument(
        "--drafters", nargs="+", choices=["model", "lookup"], default=["model", "lookup"]
    )
    parser.add_argument("--lengths", nargs="+", type=int, default=[5], help="draft lengths")
    parser.add_argument("--temperatures", nargs="+", type=float, default=[0.0, 0.8])
    parser.add_argument("--tokens", type=int, default=160, help="longest answer")
    parser.add_argument("--repeats", type=int, default=2, help="of plain, spec, spec, plain")
    parser.add_argument("--threshold", type=float, default=0.7, help="0: never pause drafting")
    parser.add_argument("--suite", type=Path, default=PROMPTS, help="JSON of prompts by category")
    parser.add_argument("--prompts", type=int, help="at most so many of a category")
    parser.add_argument("--threads", type=int, help="default: physical cores")
    parser.add_argument("--context", type=int, default=2048, help="context in tokens")
    parser.add_argument("--busy", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--markdown", type=Path, help="file to write")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
