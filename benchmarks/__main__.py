"""Measure what speculative decoding gains: a pair against itself, fixed lengths, and other engines.

pairs (unless told otherwise): every way of drafting against plain decoding, prompt by prompt;
loop: our plain decoding against a bare llama_decode loop;
replay: answers played again at the costs of other pairs, and what the best choice comes to;
gate: exit with 1 unless drafting gains and plain decoding keeps up, in two minutes;
build-llama-server: compile the peer that --peers asks for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bounds import Speedups, expect
from benchmarks.comparison import Comparison, Setting, compare
from benchmarks.gate import PROMPTS as GATE_PROMPTS
from benchmarks.gate import run_gate
from benchmarks.history import remember_conversation
from benchmarks.latency import measure_latency
from benchmarks.llama_server import build_server, built_server, grid
from benchmarks.loop import measure_loop
from benchmarks.machine import LoadWatch, describe_machine, load_warning, watch_load
from benchmarks.merge import merged
from benchmarks.models import Pair, grow
from benchmarks.options import parse, ways_of
from benchmarks.page import as_html
from benchmarks.peers import PeerRates, measure_peers
from benchmarks.replay import rows_of
from benchmarks.report import PairResult, Report
from benchmarks.rig import PLAIN, Rig
from benchmarks.tables import text_table
from benchmarks.traces import measured_costs, record_traces
from benchmarks.upkeep import controller_share, measure_memory
from config import ModelOptions, SamplingParams
from utils.errors import ModelError
from utils.prompt_suite import Suite, load_suite

LOOP_RUNS, LOOP_TOKENS = 9, 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, and write reports where asked."""
    options = parse(arguments, __doc__)
    if options.what == "build-llama-server":
        _build_server(options)
        return
    if options.what == "replay":
        _replay(options)
        return
    report = Report(describe_machine())
    warning = load_warning(watch_load())
    if warning and not options.busy:
        if options.what == "gate":
            print(f"gate: nothing was judged, {warning}")
            return
        sys.exit(f"{warning}; --busy measures all the same")
    if options.what == "gate":
        _judge(options)
        return
    try:
        _measure(report, options)
    except ValueError as error:
        sys.exit(str(error))
    print(report.as_text())


def _measure(report: Report, options: argparse.Namespace) -> None:
    for target, draft in _pairs(options):
        with Rig(target, draft, _model_options(options)) as rig:
            if options.what == "loop":
                report.loop = measure_loop(rig)
            else:
                _measure_pair(report, rig, options)
        _write(report, options)


def _measure_pair(report: Report, rig: Rig, options: argparse.Namespace) -> None:
    suite = load_suite(options.suite, limit=options.prompts, categories=options.categories)
    target, draft = rig.target.header.path, rig.draft.header.path if rig.draft else None
    has_upkeep = "upkeep" not in options.skip
    loop = measure_loop(rig, runs=LOOP_RUNS, tokens=LOOP_TOKENS) if has_upkeep else None
    memory = measure_memory(target, draft, _model_options(options)) if has_upkeep else None
    if options.depth:
        remember_conversation(rig, suite, options.suite, tokens=options.depth)
    for temperature in options.temperatures:
        setting = Setting(
            ways=ways_of(options),
            temperature=temperature,
            max_tokens=options.tokens,
            repeats=options.repeats,
        )
        _tell(f"{target.stem}, temperature {temperature:g}")
        watch = LoadWatch()
        is_compared = options.peers != "only"
        result = PairResult(
            target.stem,
            rig.draft_name,
            rig.target.info.quantization,
            compare(rig, suite, setting, _tell) if is_compared else Comparison(setting, []),
            loop,
            memory,
            controller_share(rig, suite, setting) if has_upkeep else None,
            _measure_peers(rig, suite, setting, options),
            rig.costs,
        )
        result.other_load = watch.others()
        report.pairs.append(result)
        _write(report, options)
        if "bounds" not in options.skip and is_compared:
            result.most = _most(rig, suite, setting)
            _write(report, options)
    if "latency" not in options.skip:
        report.latencies += [
            measure_latency(rig, suite, way) for way in (PLAIN, *ways_of(options)[:1])
        ]


def _measure_peers(
    rig: Rig, suite: Suite, setting: Setting, options: argparse.Namespace
) -> PeerRates | None:
    if options.peers == "no":
        return None
    program: Path = options.llama_server or built_server(options.models_folder)
    if not program.exists():
        sys.exit(f"there is no {program}: run `python -m benchmarks build-llama-server`")
    settings = grid(with_draft=rig.draft is not None, is_small=options.peers == "few")
    return measure_peers(rig, suite, setting, program=program, settings=settings, tell=_tell)


def _most(rig: Rig, suite: Suite, setting: Setting) -> Speedups | None:
    """Return what the best choice without foresight comes to, at the median costs of this run.

    None where nothing was drafted, or where the draft has other tokens than the target.
    """
    costs = rig.met_costs()
    if costs is None or not rig.has_same_tokens:
        return None
    try:
        return expect(record_traces(rig, suite, setting.sampling), costs)
    except ModelError as error:
        _tell(f"what the best choice comes to is not known: {error}")
        return None


def _build_server(options: argparse.Namespace) -> None:
    try:
        print(build_server(options.models_folder, tell=_tell))
    except RuntimeError as error:
        sys.exit(str(error))


def _replay(options: argparse.Namespace) -> None:
    if not options.costs:
        sys.exit("replay: name a file that --json wrote, with --costs")
    known = measured_costs(json.loads(options.costs.read_text(encoding="utf-8")))
    suite = load_suite(options.suite, limit=options.prompts, categories=options.categories)
    target, draft = _pairs(options)[0]
    with Rig(target, draft, _model_options(options)) as rig:
        for temperature in options.temperatures:
            sampling = SamplingParams(temperature=temperature, max_tokens=options.tokens, seed=1)
            traces = record_traces(rig, suite, sampling)
            print(f"temperature {temperature:g}")
            print(text_table(rows_of(traces, known)))


def _judge(options: argparse.Namespace) -> None:
    suite = load_suite(options.suite, limit=options.prompts or GATE_PROMPTS)
    target, draft = _pairs(options)[0]
    watch = LoadWatch()
    with Rig(target, draft, _model_options(options)) as rig:
        problems = run_gate(rig, suite, _tell)
    warning = load_warning(watch.others())
    if problems and warning and not options.busy:
        print(f"gate: nothing was judged, {warning}")
        return
    if problems:
        sys.exit("gate: " + "\n      ".join(problems))
    print("gate: drafting gains, no category is slower, and plain decoding keeps up")


def _pairs(options: argparse.Namespace) -> list[Pair]:
    if options.grow:
        return grow(
            options.models_folder,
            options.grow,
            options.types,
            vocabulary=options.pad_vocab,
            tell=_tell,
        )
    return [(target, options.draft) for target in options.target]


def _model_options(options: argparse.Namespace) -> ModelOptions:
    return ModelOptions(context_tokens=options.context, threads=options.threads)


def _write(report: Report, options: argparse.Namespace) -> None:
    if options.json:
        figures = report.as_dict()
        if options.update and options.json.exists():
            figures = merged(json.loads(options.json.read_text(encoding="utf-8")), figures)
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.as_markdown(), encoding="utf-8")
    if options.html:
        options.html.write_text(as_html(report), encoding="utf-8")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
