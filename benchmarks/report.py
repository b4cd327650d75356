"""The figures as JSON, as text tables and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from benchmarks.bounds import Speedups
from benchmarks.comparison import CategoryResult, Comparison
from benchmarks.latency import Latency
from benchmarks.loop import LoopCost
from benchmarks.machine import Machine
from benchmarks.peers import PeerRates
from benchmarks.rig import ADAPTIVE, Costs, Way
from benchmarks.tables import Row, Table, markdown_table, text_table
from benchmarks.upkeep import MemoryUse

MEAN = "mean over categories"
MOST = "without foresight, at median costs"
MOST_NOTE = (
    f'"{MOST}" is worked out from what passes and drafts took in the same run: no limit, as either '
    "side varies."
)


@dataclass(slots=True)
class PairResult:
    """A target and its draft at one temperature; None is what was not measured."""

    target: str
    draft: str
    type: str
    comparison: Comparison
    loop: LoopCost | None = None
    memory: MemoryUse | None = None
    controller_share: float | None = None
    peers: PeerRates | None = None
    costs: Costs | None = None
    other_load: float | None = None
    # By category, what the best choice of drafts comes to at the median costs of this very run.
    most: Speedups | None = None

    @property
    def title(self) -> str:
        """What was measured, in one line."""
        return f"{self.target} {self.type}, draft {self.draft}, {self.sampling}"

    @property
    def sampling(self) -> str:
        """How tokens were chosen."""
        temperature = self.comparison.setting.temperature
        return f"temperature {temperature:g}" if temperature else "greedy"

    @property
    def ways(self) -> tuple[Way, ...]:
        """All ways but plain decoding, the one that counts first."""
        ways = self.comparison.setting.ways
        return tuple(sorted(ways, key=lambda way: way != ADAPTIVE))

    @property
    def figures(self) -> dict[str, float | None]:
        """The ratios that summarise the pair."""
        return {
            "plain_vs_llama_cpp": self.loop.plain_vs_llama_cpp if self.loop else None,
            "adaptive_vs_best_fixed": self.comparison.adaptive_vs_best_fixed,
            "adaptive_vs_llama_server": (
                self.peers.adaptive_vs_llama_server if self.peers else None
            ),
            "memory_overhead": self.memory.overhead if self.memory else None,
            "controller_share": self.controller_share,
            "adaptive_vs_most": self.adaptive_vs_most,
        }

    @property
    def adaptive_vs_most(self) -> float | None:
        """The mean of adaptive drafting over that of the best choice without foresight."""
        if not self.most or ADAPTIVE not in self.ways:
            return None
        return self.comparison.mean(ADAPTIVE) / fmean(self.most.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the pair for JSON: the categories are those of adaptive drafting, if measured.

        `all` holds the same figures over all prompts: it is no category.
        """
        comparison, best = self.comparison, self.comparison.best_fixed
        return {
            "target": self.target,
            "draft": self.draft,
            "type": self.type,
            "temperature": comparison.setting.temperature,
            **self.figures,
            **comparison.as_dict(self.ways[0]),
            "way": self.ways[0].name,
            "best_fixed": best.name if best else None,
            "fixed_lengths": sorted({way.length for way in comparison.rivals}),
            "ways": [
                {
                    "name": way.name,
                    "mean": comparison.mean(way),
                    **comparison.as_dict(way),
                }
                for way in self.ways
            ],
            "memory": self.memory.as_dict() if self.memory else None,
            "peers": self.peers.as_dict() if self.peers else None,
            "costs": asdict(self.costs) if self.costs else None,
            "other_load": self.other_load,
            "most_without_foresight": self.most,
        }


@dataclass(slots=True)
class Report:
    """All that one run of the command measured."""

    machine: Machine
    pairs: list[PairResult] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    loop: LoopCost | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "machine": self.machine.as_dict(),
            "pairs": [pair.as_dict() for pair in self.pairs],
            "latencies": [asdict(latency) for latency in self.latencies],
            "loop": asdict(self.loop) if self.loop else None,
        }

    def as_text(self) -> str:
        """Return tables for a terminal."""
        tables = [*self._details(), *self.tables()]
        parts = (f"{table.title}\n{text_table(table.rows)}" for table in tables)
        return "\n\n".join([self.conditions, *parts])

    def as_markdown(self) -> str:
        """Return tables for a document."""
        parts = (f"{table.title}:\n\n{markdown_table(table.rows)}" for table in self.tables())
        return "\n\n".join([self.conditions, *parts]) + "\n"

    @property
    def conditions(self) -> str:
        """Where and when, on what, what is not compared for that, and what is worked out."""
        machine = self.machine
        here = (
            f"{machine.processor}, {machine.physical_cores} physical cores, {machine.system}, "
            f"llama-cpp-python {machine.llama_cpp_python} on {machine.computes_on}, "
            f"{machine.date}; load average before: {machine.load_average}."
        )
        notes = [pair.peers.conditions for pair in self.pairs if pair.peers]
        notes += [MOST_NOTE for pair in self.pairs if pair.most]
        return " ".join(filter(None, (here, *dict.fromkeys(notes))))

    @property
    def measured(self) -> list[PairResult]:
        """The pairs that were compared with plain decoding, not with peers alone."""
        return [pair for pair in self.pairs if pair.comparison.results]

    def tables(self) -> list[Table]:
        """Return what a document shows: a column for each way, and the figures of each pair."""
        tables = [
            Table(f"{pair.title}; speedup (95% interval), acceptance rate", _overview_rows(pair))
            for pair in self.measured
        ]
        if self.pairs:
            tables.append(Table("Figures", _figure_rows(self.pairs)))
        tables += [
            Table(f"{pair.title}; tokens per second in one sitting", _peer_rows(pair.peers))
            for pair in self.pairs
            if pair.peers
        ]
        if self.latencies:
            tables.append(Table("Latency", _latency_rows(self.latencies)))
        if self.loop:
            tables.append(Table("Plain decoding against a bare loop", _loop_rows(self.loop)))
        return tables

    def _details(self) -> list[Table]:
        return [
            Table(f"{pair.title}, {pair.ways[0].name}", _category_rows(pair))
            for pair in self.measured
        ]


def _overview_rows(pair: PairResult) -> list[Row]:
    """Return a row a category, the worst of the first way first, then all prompts and the mean."""
    found = {
        way: {category.name: category for category in pair.comparison.rows(way)}
        for way in pair.ways
    }
    most = pair.most or {}
    rows: list[Row] = [["category", *(way.name for way in pair.ways), *([MOST] if most else [])]]
    for name in found[pair.ways[0]]:
        told = [_cell(found[way][name]) for way in pair.ways]
        rows.append([name, *told, *([_told(most.get(name))] if most else [])])
    means = [f"{pair.comparison.mean(way):.2f}" for way in pair.ways]
    return [*rows, [MEAN, *means, *([_told(fmean(most.values()))] if most else [])]]


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _cell(category: CategoryResult) -> str:
    interval = f"{category.low:.2f} to {category.high:.2f}"
    return f"{category.speedup:.2f} ({interval}), {category.acceptance:.0%}"


def _category_rows(pair: PairResult) -> list[Row]:
    header = (
        *("category", "speedup", "interval (95%)", "acceptance"),
        *("tokens/forward", "plain tokens/s", "same text"),
    )
    rows = [
        (
            category.name,
            f"{category.speedup:.2f}",
            f"{category.low:.2f} to {category.high:.2f}",
            f"{category.acceptance:.0%}",
            f"{category.tokens_per_forward:.2f}",
            f"{category.plain_tokens_per_second:.0f}",
            f"{category.same_texts} of {category.prompts}",
        )
        for category in pair.comparison.rows(pair.ways[0])
    ]
    mean = pair.comparison.mean(pair.ways[0])
    return [header, *rows, (MEAN, f"{mean:.2f}", "", "", "", "", "")]


def _figure_rows(pairs: Sequence[PairResult]) -> list[Row]:
    header = (
        "pair",
        *(name.replace("_", " ") for name in pairs[0].figures),
        "best fixed",
        "load of others",
    )
    rows: list[Row] = [header]
    for pair in pairs:
        figures = ["" if value is None else f"{value:.3f}" for value in pair.figures.values()]
        load = "" if pair.other_load is None else f"{pair.other_load:.2f}"
        rows.append([pair.title, *figures, pair.comparison.best_of, load])
    return rows


def _peer_rows(peers: PeerRates) -> list[Row]:
    """Return a row an engine, the fastest first."""
    names = sorted(peers.rates, key=peers.mean, reverse=True)
    categories = list(peers.rates[names[0]])
    rows: list[Row] = [["engine", *categories, "mean"]]
    for name in names:
        rates = [f"{peers.category(name, category):.0f}" for category in categories]
        rows.append([name, *rates, f"{peers.mean(name):.1f}"])
    blank = [""] * (len(categories) + 1)
    return [*rows, *([note, *blank] for note in peers.notes)]


def _latency_rows(latencies: Sequence[Latency]) -> list[Row]:
    header = (
        *("drafter", "prompt tokens", "TTFT ms", "TPOT ms", "slowest round ms"),
        "second turn: read of prompt tokens",
    )
    rows = [
        (
            latency.drafter,
            f"{latency.prompt_tokens}",
            f"{latency.ttft_ms:.1f}",
            f"{latency.tpot_ms:.2f}",
            f"{latency.slowest_round_ms:.1f}",
            f"{latency.second_prefilled_tokens} of {latency.second_prompt_tokens}",
        )
        for latency in latencies
    ]
    return [header, *rows]


def _loop_rows(loop: LoopCost) -> list[Row]:
    return [
        ("target", "tokens", "bare us/token", "ours us/token", "bookkeeping"),
        (
            loop.target,
            f"{loop.tokens}",
            f"{loop.bare_us:.0f}",
            f"{loop.ours_us:.0f}",
            f"{loop.bookkeeping_share:.1%}",
        ),
    ]
